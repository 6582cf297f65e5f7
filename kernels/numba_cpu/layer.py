"""Layer: how a kernel writes its calls into the programs of a chain; chain.py says when.

A layer is a kernel with its arguments, and the numbers and shapes of its weights.  `forward` takes
the Place of x and returns that of y, batch-last both; `backward` takes that of g and returns that
of dx.  The layers of conv.py, pool.py and the others stand beside the entries that they call.
"""

import math
from typing import Any

import numpy as np

from minicnn.kernels.numba_cpu.program import Place

# Bases (see program.py): x, y, what is kept for backward, scratch memory A and B, what is filled
# once for all parts, the gradients of y, x and the weights, and then the weights themselves.
X, Y, SAVED, A, B, ONCE, G, DX, DW, WEIGHTS = range(2, 12)

LAYERS: dict[str, Any] = {}  # by the kernel's name


class Layer:
    """One layer of a chain: writes its calls into one Plan's programs, and remembers its places."""

    keeps_output = False  # whether backward reads what forward computed
    keeps_input = False
    kept_weights: tuple[int, ...] = ()  # those of its weights that backward reads

    def __init_subclass__(cls, kernel: str = "") -> None:
        if kernel:
            LAYERS[kernel] = cls

    def __init__(self, call: Any, first_weight: int, x_shape: tuple[int, ...]) -> None:
        self.shapes, self.args = call.shapes, call.arguments
        self.first_weight, self.x_shape = first_weight, x_shape  # one input's shape

    def weight(self, i: int) -> Any:
        """Weight i of this layer; None if it is not there."""
        shape = self.shapes[i]
        return None if shape is None else Place(WEIGHTS + self.first_weight + i, 0, shape)

    def wants_any(self, plan: Any) -> bool:
        """Whether the gradient of one of its weights is needed."""
        return any(plan.needs[1 + self.first_weight + i] for i in range(len(self.shapes)))

    def wanted(self, plan: Any, i: int, *empty: int) -> Any:
        """Where weight i's gradient goes: to nothing, of shape `empty`, if it is not needed."""
        place = plan.gradients[self.first_weight + i]
        return np.empty(empty, plan.dtype) if place is None else place


class Flatten(Layer, kernel="flatten"):
    """Channels, rows and columns as one axis, in which order they lie in memory already."""

    def forward(self, plan, x, keep):
        return x.seen_as(math.prod(self.x_shape), plan.n)

    def backward(self, plan, g, dx_wanted):
        return g.seen_as(*self.x_shape, plan.n)
