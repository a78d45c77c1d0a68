"""The linear part of any CNN: recorded (``trace``), as steps (``steps``), walked down or up (``walk``)."""

from .patches import Patch
from .steps import Rule
from .trace import Trace, trace
from .unpooling import MODES, unpool
from .walk import walk

__all__ = ["MODES", "Patch", "Rule", "Trace", "trace", "unpool", "walk"]
