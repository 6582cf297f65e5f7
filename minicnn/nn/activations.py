"""Activation functions as layers."""

from dataclasses import dataclass

from ..autograd import Tensor
from . import functional as F
from .layers import Layer
from .module import Module

__all__ = [
    "ELU", "Hardtanh", "LeakyReLU", "LogSoftmax", "ReLU", "ReLU6", "ScaledTanh", "SiLU", "Sigmoid",
    "Softmax", "Tanh",
]  # fmt: skip


class _InPlace(Layer):
    """An activation that may overwrite its input; it says so only if it does."""

    inplace: bool

    def extra_repr(self) -> str:
        both = [super().extra_repr(), "inplace=True" if self.inplace else ""]
        return ", ".join(filter(None, both))


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


@dataclass(eq=False, repr=False)
class ScaledTanh(Layer):
    """LeCun's A tanh(S x), with A = 1.7159 and S = 2/3."""

    _shown = "amplitude={amplitude}, slope={slope:.4g}"
    amplitude: float = 1.7159
    slope: float = 2 / 3

    def forward(self, input: Tensor) -> Tensor:
        return F.scaled_tanh(input, self.amplitude, self.slope)


@dataclass(eq=False, repr=False)
class ReLU(_InPlace):
    """max(x, 0)."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


@dataclass(eq=False, repr=False)
class LeakyReLU(_InPlace):
    """x where x > 0, else negative_slope x."""

    _shown = "negative_slope={negative_slope}"
    negative_slope: float = 0.01
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)


@dataclass(eq=False, repr=False)
class Softmax(Layer):
    """e^x / sum e^x along dim."""

    _shown = "dim={dim}"
    dim: int | None = None

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(Softmax):
    """x - ln sum e^x along dim."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


@dataclass(eq=False, repr=False)
class ELU(_InPlace):
    """x where x > 0, else alpha (e^x - 1); with inplace too the result is a new tensor."""

    _shown = "alpha={alpha}"
    alpha: float = 1.0
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)


@dataclass(eq=False, repr=False)
class SiLU(_InPlace):
    """x / (1 + e^-x), also called swish; with inplace too the result is a new tensor."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input)


@dataclass(eq=False, repr=False)
class Hardtanh(_InPlace):
    """x between min_val and max_val, these beyond; with inplace too the result is a new tensor."""

    _shown = "min_val={min_val}, max_val={max_val}"
    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val)


class ReLU6(Hardtanh):
    """x between 0 and 6, these beyond."""

    _shown = ""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)
