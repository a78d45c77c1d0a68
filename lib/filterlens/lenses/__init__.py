"""The lenses: pure functions, tensors in, frozen results out."""
