"""What the server of ``forks`` imports before it forks workers. What cannot be imported here is missed by the cell that needs it, which says so."""

from contextlib import suppress

with suppress(Exception):
    import filterlens.experiments  # noqa: F401
with suppress(Exception):
    import torch._dynamo  # noqa: F401 - torch imports it with the first optimizer that is made, for a second
