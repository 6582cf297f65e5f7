"""The activations' kernels, by the names that activation.cuh has for them."""

import math
import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from minicnn.arrays import Array
from minicnn.kernels.calls import Call
from minicnn.kernels.cuda.launch import FOLDER, THREADS, empty, grid_of, launch
from minicnn.kernels.cuda.layer import LAYERS, Layer


def _kinds() -> tuple[str, ...]:
    """The names in activation.cuh's enum, in its order."""
    text = re.sub(r"//[^\n]*", "", (FOLDER / "activation.cuh").read_text())
    names = text.partition("enum Kind {")[2].partition("}")[0]
    return tuple(re.findall(r"\w+", names.lower()))


KINDS = _kinds()
FROM_X = KINDS.index("from_x")
STRUCT = np.dtype(
    [("kind", np.int32), *((name, np.float64) for name in ("first", "second", "ratio"))], align=True
)


@cache
def activation_of(name: str, first: float = 1.0, second: float = 1.0) -> np.ndarray:
    """An activation with the numbers of its call as the struct of activation.cuh."""
    ratio = second / first if first else math.inf
    return np.array([(KINDS.index(name), first, second, ratio)], STRUCT)


IDENTITY = activation_of("identity")


def fusable(calls: Sequence[Call]) -> np.ndarray | None:
    """The first of some calls as the struct, if it is an activation that needs no x; or None."""
    if not calls or calls[0].kernel not in KINDS[:FROM_X]:
        return None
    return activation_of(calls[0].kernel, *calls[0].arguments)


def before(g: Array, y: Array, f: np.ndarray) -> Array:
    """The gradient before an activation, given y; or x, if that is what f needs."""
    dx = empty(g.shape, g)
    args = g, y, dx, f, g.size
    launch("activation", "activate_backward", g.dtype, grid_of(g.size), THREADS, *args)
    return dx


class Activation(Layer):
    """An activation by itself."""

    def __init__(self, calls, x_shape):
        self.f = activation_of(calls[0].kernel, *calls[0].arguments)

    def forward(self, x, weights, wanted):
        y = empty(x.shape, x)
        launch("activation", "activate", x.dtype, grid_of(x.size), THREADS, x, y, self.f, x.size)
        return y, (x if self.f["kind"][0] > FROM_X else y,)

    def backward(self, g, kept, needs):
        (x_or_y,) = kept
        return (before(g, x_or_y, self.f),)


LAYERS |= {name: Activation for name in KINDS if name not in ("identity", "from_x")}
