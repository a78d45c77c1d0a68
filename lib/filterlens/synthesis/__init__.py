"""Where the five lenses meet: one filter seen through all of them, whether they agree, and planted worlds whose answer is known."""
