"""Layers, models' building blocks, and initial weights, under PyTorch's names."""

from . import functional, init, parameter, utils
from .activations import *  # noqa: F403  # its __all__
from .containers import ModuleDict, ModuleList, Sequential
from .layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout2d,
    Flatten,
    Fold,
    Identity,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Subsample2d,
    Unflatten,
    Unfold,
    Upsample,
    ZeroPad2d,
)
from .lazy import LazyBatchNorm2d, LazyConv2d, LazyLinear
from .losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from .module import Module, Parameter
