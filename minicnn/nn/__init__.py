"""Layers, models' building blocks, and initial weights, under PyTorch's names."""

from . import functional, init, utils
from .containers import ModuleList, Sequential
from .layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Fold,
    Identity,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    ScaledTanh,
    Sigmoid,
    Softmax,
    Subsample2d,
    Tanh,
    Unfold,
)
from .module import Module, Parameter
