"""How a mask is parameterised and sampled."""

from .parameters import Logits, MaskParameters, PooledMLP, StepwiseMLP, build_parameters
from .sampling import Sampling, Temperature, probabilities, sample

__all__ = [
    "Logits",
    "MaskParameters",
    "PooledMLP",
    "Sampling",
    "StepwiseMLP",
    "Temperature",
    "build_parameters",
    "probabilities",
    "sample",
]
