r"""How a Sequential runs neighbouring layers as one node of the graph, where the kernels can.

    Conv2d  Sigmoid  AvgPool2d  Flatten  Linear  Dropout  Linear
    \_________________ one node ______________/            (by itself, as always)

The compiled kernels take such a chain a part of the batch at a time, so that what passes between
its layers stays in the cache, and in one call from Python; the node is named after its layers.
Anything that wants to see between the layers has them run one by one: hooks, anomaly detection,
other kernels; so has anything wrong, so that the error names its layer.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import numpy as np

from .. import kernels
from ..arrays import is_array
from ..autograd import Function, mode
from ..errors import MinicnnError
from ..shapes import Shape, window
from .activations import ReLU, ScaledTanh, Sigmoid, Tanh
from .layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Subsample2d
from .module import Module, changes


class _ChainOp(Function, kernel=True):
    """Several layers in one; for each chain there is a subclass with the layers' names."""

    @staticmethod
    def forward(ctx, input, spec, memo, *weights):
        needs = (ctx.needs_input_grad[0], *ctx.needs_input_grad[3:])
        y, ctx.saved = kernels.forward("chain", input, spec, needs, memo, *weights)
        return y

    @staticmethod
    def backward(ctx, g):
        dx, *dweights = kernels.backward("chain", g, ctx.saved, ctx.needs_input_grad)
        return dx, None, None, *dweights


class Spec(tuple):
    """(kernel, the shapes of its weights, arguments) of each layer; quick to hash."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_specs: dict[tuple, Spec] = {}  # one of each, so that it is equal only to itself


# ---- layers as kernels -----------------------------------------------------------------------

# Each gives (kernel, weights, arguments, output shape) of a layer on an input of this shape, or
# None for what the layer alone can do, or refuse.
Described = tuple[str, tuple, tuple, Shape] | None


def _conv2d(layer: Conv2d, shape: Shape) -> Described:
    weight, bias, padding = layer.weight, layer.bias, layer.padding
    if layer.padding_mode != "zeros" or isinstance(padding, str):
        return None
    if len(shape) != 4 or weight.ndim != 4 or not _is_bias(bias, weight):
        return None
    out, channels, *kernel = weight.shape
    if shape[1] != channels * layer.groups or out % layer.groups:
        return None
    found = window("conv2d", shape[2:], tuple(kernel), layer.stride, padding, layer.dilation)
    return "conv2d", (weight, bias), (found, layer.groups), (shape[0], out, *found.out)


def _linear(layer: Linear, shape: Shape) -> Described:
    weight, bias = layer.weight, layer.bias
    if len(shape) != 2 or weight.ndim != 2 or not _is_bias(bias, weight):
        return None
    if shape[1] != weight.shape[1]:
        return None
    return "linear", (weight, bias), (), (shape[0], weight.shape[0])


def _is_bias(bias: Any, weight: Any) -> bool:
    return bias is None or bias.shape == weight.shape[:1]


def _pool(name: str, layer: Any, shape: Shape, *how: Any) -> Described:
    if len(shape) != 4:
        return None
    dilation = getattr(layer, "dilation", 1)
    found = window(
        name, shape[2:], layer.kernel_size, layer.stride, layer.padding, dilation, layer.ceil_mode
    )
    if any(2 * p > k for p, k in zip(found.padding, found.kernel_size, strict=True)):
        return None
    return name, (), (found, *how), (*shape[:2], *found.out)


def _avg_pool2d(layer: AvgPool2d, shape: Shape) -> Described:
    divisor = layer.divisor_override
    return (
        None
        if divisor == 0
        else _pool("avg_pool2d", layer, shape, layer.count_include_pad, divisor)
    )


def _max_pool2d(layer: MaxPool2d, shape: Shape) -> Described:
    return None if layer.return_indices else _pool("max_pool2d", layer, shape)


def _subsample2d(layer: Subsample2d, shape: Shape) -> Described:
    found = _pool("subsample2d", layer, shape)
    both = layer.coefficient.shape, layer.bias.shape
    if found is None or both != (shape[1:2], shape[1:2]):
        return None
    name, _, arguments, out = found
    return name, (layer.coefficient, layer.bias), arguments, out


def _activation(layer: Module, shape: Shape) -> Described:
    if len(shape) not in (2, 4):
        return None
    arguments = (layer.amplitude, layer.slope) if isinstance(layer, ScaledTanh) else ()
    return _ACTIVATIONS[type(layer)], (), arguments, shape


def _flatten(layer: Flatten, shape: Shape) -> Described:
    if (layer.start_dim, layer.end_dim) != (1, -1) or len(shape) not in (2, 4):
        return None
    return "flatten", (), (), (shape[0], int(np.prod(shape[1:])))


_ACTIVATIONS = {
    Sigmoid: "sigmoid", Tanh: "tanh", ScaledTanh: "scaled_tanh", ReLU: "relu"
}  # fmt: skip
_LAYERS: dict[type, Callable[[Any, Shape], Described]] = {
    Conv2d: _conv2d, Linear: _linear, AvgPool2d: _avg_pool2d, MaxPool2d: _max_pool2d,
    Subsample2d: _subsample2d, Flatten: _flatten, **dict.fromkeys(_ACTIVATIONS, _activation),
}  # fmt: skip

for _kind in _LAYERS:
    _kind._in_chains = True  # type: ignore[attr-defined]


# ---- chains ----------------------------------------------------------------------------------


class Chain:
    """Neighbouring layers, called as one module would be."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self.hooked = [layer for layer in layers if layer._hooked]
        # By shape and type of the input: the op, its arguments behind x, and what they hold.
        self.known: dict[Any, tuple] = {}

    def __call__(self, input: Any) -> Any:
        array = getattr(input, "array", None)
        ours = type(array) is np.ndarray or is_array(array)
        if ours and not (mode.anomaly or any(map(_watched, self.hooked))):
            op, arguments, parameters, _ = self._known(array)
            if op is not None and kernels.offers("chain", array):
                return op.apply(input, *arguments, *parameters)
        for layer in self.layers:
            input = layer(input)
        return input

    def _known(self, x: Any) -> tuple:
        key = x.shape, x.dtype, type(x)
        found = self.known.get(key)
        if found is None or not all(map(_holds, found[2], found[3])):
            found = self.known[key] = self._describe(x)
            if len(self.known) > 16:  # sizes of batches, mostly
                self.known.pop(next(iter(self.known)), None)
        return found

    def _describe(self, x: Any) -> tuple:
        """(op, (Spec, memo), parameters, their arrays); op None: the layers run one by one."""
        described = _described(self.layers, x.shape) if x.size else []
        parameters = [w for _, weights, _ in described for w in weights]
        arrays = [w if w is None else w.array for w in parameters]
        if not described or not all(a is None or _fits(a, x) for a in arrays):
            return None, (), parameters, arrays
        spec = tuple(
            (name, tuple(w if w is None else w.shape for w in weights), arguments)
            for name, weights, arguments in described
        )
        if len(_specs) > 1000:
            _specs.clear()
        name = "+".join(type(layer).__name__ for layer in self.layers)
        op = type(name, (_ChainOp,), {}, kernel=True)
        return op, (_specs.setdefault(spec, Spec(spec)), {}), parameters, arrays


def _described(layers: list[Any], shape: Shape) -> list[tuple[str, tuple, tuple]]:
    """(kernel, weights, arguments) of each layer, for an input of this shape; [] if one is not."""
    described: list[Any] = []
    for layer in layers:
        try:
            found = _LAYERS[type(layer)](layer, shape)
        except MinicnnError:  # the layer itself will raise it, with its name
            found = None
        if found is None:
            return []
        *what, shape = found
        described.append(tuple(what))
    return described


def _fits(weight: Any, x: Any) -> bool:
    """Whether a weight is where x is, and of its type."""
    return weight.dtype == x.dtype and weight.device == x.device


def _holds(parameter: Any, array: Any) -> bool:
    """Whether this is still the parameter's array; None stands for a bias that is not there."""
    return parameter is array if parameter is None else parameter.array is array


def _watched(layer: Module) -> bool:
    """Whether a hook is to see what goes in or comes out of a layer."""
    return any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks))


def _chainable(layer: Module) -> bool:
    return type(layer) in _LAYERS and "forward" not in vars(layer)


def steps_of(layers: Any) -> list[Callable[[Any], Any]]:
    """What a Sequential has to call: its layers, neighbours that can be one node as a Chain."""
    changed, steps = layers._steps
    if changed != changes[0]:
        changed = changes[0]
        steps = _in_chains(layers)
        vars(layers)["_steps"] = changed, steps
    return steps


def _in_chains(layers: Iterable[Module]) -> list[Callable[[Any], Any]]:
    steps: list[Any] = []
    for chainable, group in groupby(layers, key=_chainable):
        found = list(group)
        while chainable and _changes_input(found):
            steps.append(found.pop(0))
        behind: list[Any] = []
        while found and isinstance(found[-1], Flatten):
            behind.insert(0, found.pop())
        several = sum(not isinstance(layer, Flatten) for layer in found) > 1
        # Activations alone are as quick one by one, on memory of any order.
        weighty = any(isinstance(layer, Conv2d | Linear) for layer in found)
        steps += [Chain(found)] if chainable and several and weighty else found
        steps += behind
    return steps


def _changes_input(layers: list[Any]) -> bool:
    """Whether the first of them that computes, behind views, changes what the user holds."""
    first = next((layer for layer in layers if not isinstance(layer, Flatten)), None)
    return getattr(first, "inplace", False)
