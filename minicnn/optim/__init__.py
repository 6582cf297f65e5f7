"""Optimisers and learning-rate schedules, with PyTorch's names.

The arithmetic of SGD and Adam is in kernels/, that of the others in their own file.
"""

from . import lr_scheduler
from .adam import Adam, AdamW
from .adaptive import Adadelta, Adagrad, RMSprop
from .optimizer import Optimizer
from .sgd import SGD

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler",
]  # fmt: skip
