"""Layer: how the calls of a chain become launches; chain.py runs one after the other."""

from collections.abc import Sequence
from typing import Any

from minicnn.arrays import Array
from minicnn.kernels.calls import Call
from minicnn.kernels.reference import Gradients, Needs
from minicnn.shapes import Shape

LAYERS: dict[str, type["Layer"]] = {}  # by the kernel's name
Kept = tuple[Array | None, ...]  # by forward for backward


class Layer:
    """The first call of some, with those behind it that its launches do too.

    Arrays come and go in C order.  The layers of conv.py, pool.py and the others stand beside what
    they launch.
    """

    calls = 1  # how many they are
    weights = 0

    def __init_subclass__(cls, kernel: str = "") -> None:
        if kernel:
            LAYERS[kernel] = cls

    def __init__(self, calls: Sequence[Call], x_shape: Shape) -> None:
        self.arguments, self.x_shape = calls[0].arguments, x_shape

    def forward(self, x: Array, weights: Sequence, wanted: bool) -> tuple[Array, Kept]:
        """y, and what backward needs if it is wanted."""
        raise NotImplementedError

    def backward(self, g: Array, kept: Any, needs: Needs) -> Gradients:
        """The gradients of x and of the weights."""
        raise NotImplementedError


class Flatten(Layer, kernel="flatten"):
    """(N, ...) as (N, features): no launch."""

    def forward(self, x, weights, wanted):
        return x.reshape(len(x), x.size // len(x)), ()

    def backward(self, g, kept, needs):
        return (g.reshape(self.x_shape),)
