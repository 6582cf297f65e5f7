"""The layers of a chain: each writes the calls that its kernel makes into a Plan (see chain.py).

A layer is a kernel with its arguments, and the numbers and shapes of its weights.  `forward` takes
the Place of x and returns that of y, batch-last both; `backward` takes that of g and returns that
of dx.  What they call are the entries that conv.py, pool.py and the others call one by one.
"""

import math
from typing import Any

import numpy as np

from . import activation, conv, linear, pool
from .program import Place
from .simd import BYTES

# Bases (see program.py): x, y, what is kept for backward, scratch memory A and B, what is filled
# once for all parts, the gradients of y, x and the weights, and then the weights themselves.
X, Y, SAVED, A, B, ONCE, G, DX, DW, WEIGHTS = range(2, 12)


class Layer:
    """One layer of a chain: writes its calls into one Plan's programs, and remembers its places."""

    keeps_output = False  # whether backward reads what forward computed
    keeps_input = False
    kept_weights: tuple[int, ...] = ()  # those of its weights that backward reads

    def __init__(self, first_weight: int, weights: tuple, *args: Any) -> None:
        self.first_weight, self.shapes, self.args = first_weight, weights, args

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


class Conv2d(Layer):
    kept_weights = (0,)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        window, _ = self.args
        self.keeps_input = window.padding == (0, 0) and window.stride[1] == 1

    def _geometry(self, plan, x_shape, by_column=False):
        window, groups = self.args
        n, size = plan.n, plan.dtype.itemsize
        return conv.plan_of((n, *x_shape), self.shapes[0], window, groups, size, n, by_column)

    def forward(self, plan, x, keep):
        x_shape = x.shape[1:] if x.strides else x.shape[:3]
        self.plan = found = self._geometry(plan, x_shape)
        self.memory, bias = x, self.weight(1)
        if x.strides or not found.direct:
            shape = (x_shape[0], found.height, found.phases * found.width, plan.n)
            self.memory = plan.memory(shape, plan.saves)
            plan.place(x, self.memory, found.padding, found.phases)
        y, threads = plan.output(found.y_shape, keep), plan.threads_for(found.macs)
        plan.call(
            conv._forward, self.memory, self.weight(0), plan.zero if bias is None else bias,
            int(bias is not None), y, 0, found.us, found.vs, found.forward, threads,
        )  # fmt: skip
        return y

    def backward(self, plan, g, dx_wanted):
        found = self.plan
        dw, db = self.wanted(plan, 0, 0, 0, 0, 0), self.wanted(plan, 1, 0)
        if any(isinstance(d, Place) for d in (dw, db)):
            plan.call(
                conv._dw_and_db, self.memory, g, found.taps, dw, db, plan.part, found.dw,
                plan.threads_for(found.macs),
            )  # fmt: skip
        return self._dx(plan, g) if dx_wanted else None

    def _dx(self, plan, g):
        found, weight = self.plan, self.weight(0)
        if plan.by_column:
            found = self._geometry(plan, found.geometry[0][1:], True)
        turned = plan.once((math.prod(weight.shape),))
        flag = plan.memory((1,)) if found.by_column else plan.flag()
        plan.call_once(conv._taps_first, weight, turned, flag)
        if not found.by_column:
            wide = plan.memory((*g.shape[:2], found.g_width, plan.n))
            plan.place(g, wide, (0, found.g_before), 1)
            g = wide
        dx = plan.output(found.dx_shape)
        tables = (found.h_starts, found.h_taps, found.w_starts, found.w_taps, found.dx)
        plan.call(conv._dx, g, turned, plan.zero, dx, 0, *tables, plan.threads_for(found.macs))
        return dx


ACTIVATIONS = {
    "sigmoid": (activation._sigmoid, activation._sigmoid_backward),
    "tanh": (activation._tanh, activation._tanh_backward),
    "scaled_tanh": (activation._scaled_tanh, activation._scaled_tanh_backward),
    "relu": (activation._relu, activation._relu_backward),
}


class Activation(Layer):
    keeps_output = True

    def __init__(self, name: str, *args: Any) -> None:
        super().__init__(*args)
        self.entries = ACTIVATIONS[name]

    def _threads(self, plan, x):
        return plan.threads_for(math.prod(x.shape), activation.GRAIN)

    def forward(self, plan, x, keep):
        self.y = plan.output(x.shape, keep)
        plan.call(self.entries[0], x.flat(), self.y.flat(), *self.args, self._threads(plan, x))
        return self.y

    def backward(self, plan, g, dx_wanted):
        dx, y = plan.output(g.shape), self.y.flat()
        plan.call(self.entries[1], g.flat(), y, dx.flat(), *self.args, self._threads(plan, g))
        return dx


class Pool(Layer):
    """What all pools share: the geometry, and for sums of windows both directions."""

    def _plan(self, plan, x, window, count_padding=True, divisor=1):
        shape = (plan.n, *x.shape[:3])
        self.plan = pool.plan_of(shape, window, count_padding, divisor, plan.dtype)
        self.threads = plan.threads_for(self.plan.work, pool.GRAIN)
        return self.plan

    def _sums(self, plan, x, y):
        if self.plan.tiled:
            plan.call(pool._tile_sums, x, y, self.plan.factor, self.threads)
        else:
            plan.call(pool._map, x, y, self.plan.one, *self.plan.sums, self.threads)

    def _spread(self, plan, g, factor):
        dx = plan.output(self.plan.x_shape)
        if self.plan.tiled:
            plan.call(pool._tile_spread, g, dx, factor, self.threads)
        else:
            plan.call(pool._map, g, dx, factor, *self.plan.spread, self.threads)
        return dx


class AvgPool2d(Pool):
    def forward(self, plan, x, keep):
        y = plan.output(self._plan(plan, x, *self.args).y_shape, keep)
        self._sums(plan, x, y)
        return y

    def backward(self, plan, g, dx_wanted):
        return self._spread(plan, g, self.plan.factor if self.plan.tiled else self.plan.one)


class Subsample2d(Pool):
    kept_weights = (0,)

    def forward(self, plan, x, keep):
        shape = self._plan(plan, x, *self.args).y_shape
        self.sums, y = plan.memory(shape, plan.saves), plan.output(shape, keep)
        self._sums(plan, x, self.sums)
        grain = plan.threads_for(math.prod(shape), pool.GRAIN)
        plan.call(pool._scale, self.sums, self.weight(0), self.weight(1), y, grain)
        return y

    def backward(self, plan, g, dx_wanted):
        channels = g.shape[0]
        both = [self.wanted(plan, i, 0) for i in (0, 1)]
        if any(isinstance(d, Place) for d in both):
            both = [d if isinstance(d, Place) else plan.memory((channels,)) for d in both]
            grain = plan.threads_for(math.prod(g.shape), pool.GRAIN)
            plan.call(pool._sums, g, self.sums, *both, plan.part, grain)
        return self._spread(plan, g, self.weight(0)) if dx_wanted else None


class MaxPool2d(Pool):
    def forward(self, plan, x, keep):
        found = self._plan(plan, x, *self.args)
        y = plan.output(found.y_shape, keep)
        self.which = plan.memory(found.y_shape, plan.saves, found.place.itemsize)
        if found.tiled:
            plan.call(pool._max_tiles, x, y, self.which, self.threads)
        else:
            function = pool._max[found.place]
            plan.call(function, x, y, self.which, found.geometry, self.threads)
        return y

    def backward(self, plan, g, dx_wanted):
        found = self.plan
        dx = plan.output(found.x_shape)
        if found.tiled:
            plan.call(pool._max_tile_spread, g, self.which, dx, self.threads)
        else:
            tables = found.geometry, found.taps, found.sums[0], found.sums[3]
            plan.call(pool._max_spread[found.place], g, self.which, dx, *tables, self.threads)
        return dx


class Linear(Layer):
    keeps_input = True
    kept_weights = (0,)

    def forward(self, plan, x, keep):
        (out, width), n, bias = self.shapes[0], plan.n, self.weight(1)
        self.x, self.wide = x, n * plan.dtype.itemsize >= BYTES
        self.threads = plan.threads_for(n * width * out)
        rows = self.x if self.wide else plan.rows(self.x)
        y = plan.output((out, n), keep)
        function = linear._forward_wide if self.wide else linear._forward_narrow
        offsets = linear.NO_OFFSET if self.wide else linear.rows_apart(n, width)
        plan.call(
            function, rows, self.weight(0), plan.zero if bias is None else bias,
            int(bias is not None), y, offsets, self.threads,
        )  # fmt: skip
        return y

    def backward(self, plan, g, dx_wanted):
        (_, width), n = self.shapes[0], plan.n
        dw, db = self.wanted(plan, 0, 0, 0), self.wanted(plan, 1, 0)
        rows, dx = dw, np.empty((0, 0), plan.dtype)
        if isinstance(dw, Place):
            rows = plan.rows(self.x)
        if dx_wanted:
            shape = (width, n) if self.wide else (n, width)
            dx = plan.output(shape) if self.wide or n == 1 else plan.memory(shape)
        plan.call(
            linear._backward, g, rows, self.weight(0), plan.zero, dx, dw, db, int(self.wide),
            plan.part, linear.NO_OFFSET, self.threads,
        )  # fmt: skip
        if not dx_wanted:
            return None
        return dx.seen_as(width, n) if self.wide or n == 1 else plan.rows(dx)


class Flatten(Layer):
    """Channels, rows and columns as one axis, in which order they lie in memory already."""

    def forward(self, plan, x, keep):
        self.x_shape = x.shape
        return x.seen_as(math.prod(x.shape[:-1]), plan.n)

    def backward(self, plan, g, dx_wanted):
        return g.seen_as(*self.x_shape)


LAYERS: dict[str, Any] = {
    "conv2d": Conv2d, "avg_pool2d": AvgPool2d, "max_pool2d": MaxPool2d,
    "subsample2d": Subsample2d, "linear": Linear, "flatten": Flatten,
}  # fmt: skip


def layers_of(spec: tuple) -> list[Any]:
    """The layers of a chain: spec is (kernel, the shapes of its weights, arguments) of each."""
    made, first = [], 0
    for name, shapes, args in _rectified_last(spec):
        kind = (Activation, name) if name in ACTIVATIONS else (LAYERS[name],)
        made.append(kind[0](*kind[1:], first, shapes, *args))
        first += len(shapes)
    for layer, after in zip(made[-2::-1], made[:0:-1], strict=True):
        if isinstance(layer, Flatten):  # whose result is its input
            layer.keeps_input = after.keeps_input
    return made


def _rectified_last(spec: tuple) -> list[tuple]:
    """Rectifiers behind the maximum that follows them: max(relu(x)) = relu(max(x)).

    To the bit, but for the sign of a zero; so are the gradients, 0 where the maximum is.  It is a
    fourth of the work, and of what is kept.  Not with padding: a window of nothing else has the
    maximum -inf, which relu would change.
    """
    found = list(spec)
    for i in range(1, len(found)):
        pooled = found[i][0] == "max_pool2d" and found[i][2][0].padding == (0, 0)
        if found[i - 1][0] == "relu" and pooled:
            found[i - 1 : i + 1] = found[i], found[i - 1]
    return found
