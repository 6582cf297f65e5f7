r"""Chains: layers that follow each other, in as few launches as they can be.

    Conv2d  Sigmoid  AvgPool2d   Conv2d  Sigmoid  AvgPool2d   Flatten   Linear   Linear   Linear
    \_______ one launch _____/   \_______ one launch _____/   a view    \_one_/  \_one_/  \_one_/

and as many back, where a convolution takes a second one that adds up what its blocks have found for
the weights.  An activation behind a linear layer is in its launch too.  A training step of this
model, the sigmoid LeNet, takes 5 launches forward, 7 back (2 for each convolution, 1 for each
linear layer), 2 for the loss and 1 for the optimiser.
"""

from collections.abc import Iterator
from typing import Any

from ...arrays import Array
from ..reference import Gradients, Needs, Saved
from . import activation, linear, pool
from .activation import KINDS, activation_of
from .columns import columns_backward, columns_forward
from .conv import Block, block_backward, block_forward, fuses, plan_of
from .launch import contiguous

Weights = list[Array | None]

# A step's forward(x, weights, wanted) gives (y, what its backward(g, kept, needs) takes, and the
# arrays among that which it made).  needs and gradients are for x, and then for the weights.


class _Convolution:
    """A convolution with the activation and the pooling behind it, if there are any."""

    def __init__(self, block: Block, how: tuple) -> None:
        self.block, self.how = block, how  # how: the pool's arguments behind its window

    def forward(self, x: Array, weights: Weights, wanted: bool) -> tuple[Array, Any, tuple]:
        weight, bias = weights
        assert weight is not None
        plan = plan_of(self.block, x.shape, weight.shape, x.itemsize)
        if plan is None:
            return self._by_columns(x, weight, bias, wanted)
        out, kept = block_forward(plan, x, weight, bias, wanted)
        return out, (plan, x, weight, kept), kept

    def _by_columns(self, x: Array, weight: Array, bias: Array | None, wanted: bool) -> tuple:
        block, window = self.block, self.block.pool_window
        out = y = columns_forward(x, weight, bias, self._f(), block.window, block.groups)
        pooled = None
        if window is not None and block.pool == "avg_pool2d":
            out, pooled = pool.avg_pool2d(y, window, *self.how)
        elif window is not None:
            (out, _), pooled = pool.max_pool2d(y, window, False)
        return out, (None, x, weight, (y, pooled)), (y,)

    def backward(self, g: Array, kept: Any, needs: Needs) -> Gradients:
        plan, x, weight, inner = kept
        if plan is not None:
            return block_backward(self.block, plan, g, inner, x, weight, needs)
        y, pooled = inner
        if self.block.pool:
            (g,) = getattr(pool, f"{self.block.pool}_backward")(g, pooled, (True,))
        if (f := self._f()) is not None:
            (g,) = activation.sigmoid_backward(g, Saved(y, f), (True,))
        return columns_backward(g, x, weight, self.block.window, self.block.groups, needs)

    def _f(self) -> Any:
        return None if self.block.f == ("identity",) else activation_of(*self.block.f)


class _Linear:
    """A linear layer with the activation behind it, if there is one."""

    def __init__(self, f: tuple[Any, ...] | None) -> None:
        self.f = None if f is None else activation_of(*f)

    def forward(self, x: Array, weights: Weights, wanted: bool) -> tuple[Array, Any, tuple]:
        weight, bias = weights
        y = linear.linear_forward(x, weight, bias, self.f)
        kept = None if self.f is None else y
        return y, (kept, x, weight), (kept,)

    def backward(self, g: Array, kept: Any, needs: Needs) -> Gradients:
        y, x, weight = kept
        return linear.linear_gradients(g, y, self.f, x, weight, needs)


class _Flatten:
    """(N, ...) as (N, features): no launch."""

    def forward(self, x: Array, weights: Weights, wanted: bool) -> tuple[Array, Any, tuple]:
        return x.reshape(len(x), x.size // len(x)), x.shape, ()

    def backward(self, g: Array, kept: Any, needs: Needs) -> Gradients:
        return (g.reshape(kept),)


class _Kernel:
    """A kernel of the contract by itself."""

    def __init__(self, name: str, arguments: tuple) -> None:
        self.name, self.arguments = name, arguments
        module = activation if name in KINDS else pool
        self.run, self.back = getattr(module, name), getattr(module, f"{name}_backward")

    def forward(self, x: Array, weights: Weights, wanted: bool) -> tuple[Array, Any, tuple]:
        more = (False,) if self.name == "max_pool2d" else ()  # no indices
        y, saved = self.run(x, *weights, *self.arguments, *more)
        return (y[0] if more else y), saved, saved.inputs

    def backward(self, g: Array, kept: Any, needs: Needs) -> Gradients:
        return self.back(g, kept, needs)


# ---- plans -------------------------------------------------------------------------------------


def _steps(spec: Any) -> Iterator[tuple[Any, int]]:
    """(a step, how many weights it has), for layers of a Spec of nn/chain.py."""
    layers = list(spec)
    while layers:
        name, shapes, arguments = layers.pop(0)
        if name == "conv2d":
            yield _convolution(arguments, layers), 2
        elif name == "linear":
            yield _Linear(_activation(layers)), 2
        elif name == "flatten":
            yield _Flatten(), 0
        else:
            yield _Kernel(name, arguments), len(shapes)


def _activation(layers: list) -> tuple[Any, ...] | None:
    """The next layer, if it is an activation: taken off, as arguments of activation_of."""
    if not (layers and layers[0][0] in KINDS):
        return None
    name, _, arguments = layers.pop(0)
    return name, *arguments


def _convolution(arguments: tuple, layers: list) -> _Convolution:
    window, groups = arguments
    f = _activation(layers) or ("identity",)
    if layers and layers[0][0] in ("avg_pool2d", "max_pool2d"):
        name, _, (pool_window, *how) = layers[0]
        if fuses(name, pool_window, window.out, how):
            layers.pop(0)
            return _Convolution(Block(window, groups, f, name, pool_window), tuple(how))
    return _Convolution(Block(window, groups, f), ())


# ---- the pair ----------------------------------------------------------------------------------


def chain(x: Array, spec: Any, needs: Needs, memo: dict, *weights: Any) -> tuple[Array, Saved]:
    """The layers of spec on x; needs and weights are as in nn/chain.py.

    Parameters
    ----------
    spec
        (kernel, the shapes of its weights, arguments) of each layer.
    needs
        Which gradients backward will be asked for: x's, and each weight's.
    memo
        Where the plan is kept from one call to the next.
    """
    if "cuda" not in memo:
        memo["cuda"] = list(_steps(spec))
    given = [None if w is None else contiguous(w) for w in weights]
    y, rest, wanted = contiguous(x), list(given), any(needs)
    trail, held = [], [y, *(w for w in given if w is not None)]
    for step, count in memo["cuda"]:
        own, rest = rest[:count], rest[count:]
        y, kept, arrays = step.forward(y, own, wanted)
        trail.append((step, count, kept))
    if not wanted:
        return y, Saved()
    held += [y] if any(a is y for a in arrays) else []
    return y, Saved(trail, needs, inputs=tuple(held))


def chain_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """(dx, and the gradient of each weight), those that forward was told of."""
    trail, needs = saved.state
    dweights: list[Array | None] = []
    before = sum(count for _, count, _ in trail) + 1  # of all needs, those in front of a step's end
    for step, count, kept in reversed(trail):
        own, before = needs[before - count : before], before - count
        if not any(needs[:before]) and not any(own):
            return None, *[None] * (before - 1 + count), *dweights
        found = step.backward(g, kept, (any(needs[:before]), *own))
        assert len(found) == count + 1
        g, dweights = found[0], [*found[1:], *dweights]
    return (g if needs[0] else None, *dweights)
