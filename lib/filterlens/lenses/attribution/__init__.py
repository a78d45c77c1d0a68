"""One kernel of an inner layer explained in image space: gradient, Deconvolution, guided backpropagation, LRP.

``explain`` is what the isolation lens is compared with. captum changes the gradient of the activations, zennit applies the
rules of LRP; ``routing`` shows both of them every call that needs a rule, also of functions and of modules that are shared
or work in place, and refuses what has none.
"""

from .explain import METHODS, SIGNALS, explain
from .scaling import SCALES

__all__ = ["METHODS", "SCALES", "SIGNALS", "explain"]
