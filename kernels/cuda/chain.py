r"""Chains: calls that follow each other, in as few launches as they can be.

    Conv2d  Sigmoid  AvgPool2d   Conv2d  Sigmoid  AvgPool2d   Flatten   Linear   Linear   Linear
    \_______ one launch _____/   \_______ one launch _____/   a view    \_one_/  \_one_/  \_one_/

and as many back, where a convolution takes a second one that adds up what its blocks have computed
for the weights.  An activation behind a linear layer is in its launch too.  A training step of this
model, the sigmoid LeNet, takes 5 launches forward, 7 back (2 for each convolution, 1 for each
linear layer), 2 for the loss and 1 for the optimiser.
"""

from collections.abc import Sequence

from minicnn.arrays import Array
from minicnn.kernels.calls import Call, Chain
from minicnn.kernels.cuda import activation, conv, linear, pool  # noqa: F401 (for their layers)
from minicnn.kernels.cuda.launch import contiguous
from minicnn.kernels.cuda.layer import LAYERS, Layer
from minicnn.kernels.reference import Gradients, Needs, Saved
from minicnn.shapes import Shape


def _layers_of(calls: Sequence[Call], x_shape: Shape) -> list[Layer]:
    layers = []
    while calls:
        layer = LAYERS[calls[0].kernel](calls, x_shape)
        layers.append(layer)
        x_shape, calls = calls[layer.calls - 1].shape, calls[layer.calls :]
    return layers


def run(chain: Chain, x: Array, weights: Sequence, needs: Needs) -> tuple[Array, Saved]:
    """As in kernels/__init__.py."""
    layers = chain.kept.get("cuda")
    if layers is None:
        layers = chain.kept["cuda"] = _layers_of(chain.calls, x.shape)
    y, rest = contiguous(x), [None if w is None else contiguous(w) for w in weights]
    trail, wanted, first = [], needs[0], 1
    for layer in layers:
        own, rest = rest[: layer.weights], rest[layer.weights :]
        wanted = wanted or any(needs[first : first + layer.weights])
        first += layer.weights
        y, kept = layer.forward(y, own, wanted)
        trail.append(kept if wanted else ())
    # A view, such as flatten makes, begins where the user's array does.
    held = {a.data.ptr for kept in trail for a in kept if a is not None}
    inputs = [a for a in (x, *weights, y) if a is not None and a.data.ptr in held]
    return y, Saved(layers, trail, inputs=tuple(inputs))


def back(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in kernels/__init__.py."""
    layers, trail = saved.state
    dweights: list[Array | None] = []
    g, end = contiguous(g), len(needs)
    for layer, kept in zip(reversed(layers), reversed(trail), strict=True):
        first = end - layer.weights
        wanted = any(needs[:first]), *needs[first:end]
        if not any(wanted):
            break
        g, *own = layer.backward(g, kept, wanted)
        dweights, end = [*own, *dweights], first
    return g if needs[0] else None, *[None] * (end - 1), *dweights
