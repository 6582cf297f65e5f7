"""Which known operation a forward pass is: the one named, or the one that computes the same.

Without a name every operation whose inputs fit is tried, with the parameters that its shapes allow,
until one gives the outputs that the user's forward gave.
"""

import inspect
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..function_pair import copied
from .case import agree

Array = Any  # numpy.ndarray
SECONDS = 1.0  # for trying operations
TRIES = 400  # parameters of one operation


@dataclass
class Known:
    """An operation with its parameters; `inputs` are the user's, as it takes them.

    `weight_transposed` says that the user's second input is the transpose of the operation's.
    """

    operation: Any
    params: dict[str, Any]
    inputs: list[Any]
    users: list[int]  # which of the user's inputs each is; -1 for one that was added
    weight_transposed: bool = False
    named: bool = False  # by the user
    agrees: bool = True  # whether the user's forward computes the same

    def forward(self) -> Array:
        """What the operation returns."""
        with np.errstate(all="ignore"):
            return np.asarray(self.operation.forward(*map(copied, self.inputs), **self.params))

    def true_gradients(self, g: Array) -> dict[int, Any]:
        """The right gradients, by the user's inputs; none where they cannot be computed."""
        try:
            return self.gradients(self.operation.backward, g)
        except Exception:
            return {}

    def gradients(self, backward: Any, g: Array) -> dict[int, Any]:
        """What a backward of the operation returns, by the user's inputs."""
        with np.errstate(all="ignore"):
            result = backward(g.copy(), *map(copied, self.inputs), **self.params)
        by_input = {}
        for i, dx in zip(self.users, result, strict=False):
            turned = self.weight_transposed and i == 1 and np.ndim(dx) == 2
            by_input[i] = dx.T if turned else dx
        by_input.pop(-1, None)
        return by_input


def named(
    op: str, params: dict[str, Any], inputs: list[Any], y: Array | None, close: float
) -> Known:
    """The operation that the user named; whether forward is that is in `agrees`."""
    from ..bugs import operation

    as_given = Known(operation(op), {}, inputs, list(range(len(inputs))))
    known = next(_ways(operation(op), inputs, named=True), as_given)
    known.params, known.named = dict(params), True
    known.agrees = _gives(known, y, close)
    return known


def inferred(inputs: list[Any], y: Array | None, close: float) -> Iterator[Known]:
    """The known operations that give these outputs: often one, seldom two, as matmul and linear."""
    from ..bugs import OPERATIONS

    end = time.perf_counter() + SECONDS
    for operation in OPERATIONS.values() if y is not None else ():
        for way in _ways(operation, inputs):
            for params in itertools.islice(_parameters(way, y), TRIES):
                way.params = params
                if time.perf_counter() > end:
                    return
                if _gives(way, y, close):
                    yield way
                    break


def _gives(way: Known, y: Any, close: float) -> bool:
    try:
        return y is not None and agree(y, way.forward(), close)
    except Exception:  # parameters that do not fit these inputs
        return False


def _ways(operation: Any, inputs: list[Any], named: bool = False) -> Iterator[Known]:
    """How the user's arrays can be the operation's inputs: in order; a bias may be missing."""
    arrays = [i for i, x in enumerate(inputs) if isinstance(x, np.ndarray) and (x.ndim or named)]
    wanted = len(operation.inputs)
    users, given = arrays, [inputs[i] for i in arrays]
    if len(given) == wanted - 1 and operation.inputs[-1] == "bias" and given[1:]:
        users, given = [*users, -1], [*given, np.zeros(len(given[1]) if given[1].ndim else 1)]
    elif len(given) == 1 and "norm" in operation.name and given[0].ndim > 1:
        ones = np.ones(given[0].shape[1])  # without the scale and shift, which change nothing then
        users, given = [*users, -1, -1], [*given, ones, 0 * ones]
    if len(given) != wanted:
        return
    turns = [False, True] if operation.name == "linear" and given[1].ndim == 2 else [False]
    for turned in turns:
        listed = [x.T if turned and k == 1 else x for k, x in enumerate(given)]
        if turned and users[-1] == -1:
            listed[-1] = np.zeros(len(listed[1]))
        yield Known(operation, {}, listed, users, turned)


# ---- parameters that fit ----------------------------------------------------------------------


def _parameters(way: Known, y: Any) -> Iterator[dict[str, Any]]:
    """Parameters with which the operation could turn these inputs into y's shape."""
    signature = inspect.signature(way.operation.forward).parameters.values()
    names = [p.name for p in signature][len(way.operation.inputs) :]
    x = way.inputs[0]
    if not names:
        yield {}
    elif "stride" in names:
        yield from _windows(way, names, y)
    elif "mask" in names:
        yield from _mask(x, y)
    elif "pad" in names:
        yield from _padding(x, y)
    elif names == ["negative_slope"]:
        yield from _slope(x, y)
    else:
        domains = [_domain(name, way, x, y) for name in names]
        for values in itertools.product(*domains):
            yield dict(zip(names, values, strict=True))


def _domain(name: str, way: Known, x: Array, y: Array) -> list[Any]:
    axes = range(x.ndim)
    if name == "shape":
        return [y.shape]
    if name == "dims":
        return [p for p in itertools.permutations(axes) if tuple(x.shape[i] for i in p) == y.shape]
    if name in ("dim0", "dim1"):
        return list(axes)
    if name == "dim":
        several = [c for r in range(1, x.ndim + 1) for c in itertools.combinations(axes, r)]
        return [None, *axes, *several]
    if name == "keepdim":
        return [False, True]
    default = inspect.signature(way.operation.forward).parameters[name].default
    drawn = [way.operation.sample(np.random.default_rng(seed))[1].get(name) for seed in range(8)]
    drawn += [0.0, 1e-8, 1e-6, 1e-3] if name == "eps" else []
    numbers = {float(v) for v in [default, *drawn] if isinstance(v, int | float)}
    return sorted(numbers, key=lambda v: v != default)


def _mask(x: Any, y: Any) -> Iterator[dict[str, Any]]:
    """Dropout: y is x times 0 or 1/keep."""
    if x.shape == y.shape and (x != 0).all():
        ratio = y / x
        kept = ratio != 0
        if kept.any() and not kept.all() and np.ptp(ratio[kept]) < 1e-9 * ratio[kept].max():
            yield {"mask": kept, "p": 1 - 1 / float(ratio[kept].mean())}


def _slope(x: Any, y: Any) -> Iterator[dict[str, Any]]:
    """Leaky ReLU: y/x where x is negative."""
    if x.shape == y.shape and (x < 0).any():
        yield {"negative_slope": float(np.median(y[x < 0] / x[x < 0]))}


def _padding(x: Any, y: Any) -> Iterator[dict[str, Any]]:
    """Zeros around the last two axes: (left, right, top, bottom)."""
    if x.ndim == y.ndim >= 2 and x.shape[:-2] == y.shape[:-2]:
        rows, columns = (b - a for a, b in zip(x.shape[-2:], y.shape[-2:], strict=True))
        for top, left in itertools.product(range(rows + 1), range(columns + 1)):
            yield {"pad": (left, columns - left, top, rows - top)}


WINDOW = ("kernel_size", "stride", "padding", "dilation")
Axis = tuple[int, int, int, int]  # the same along one axis


def _windows(way: Known, names: list[str], y: Any) -> Iterator[dict[str, Any]]:
    """Kernels, strides, paddings and dilations that give y's rows and columns, simplest first."""
    x = way.inputs[0]
    if "output_size" in names or y.ndim != 4 or x.ndim != 4:
        yield from _unfolded(x, y) if "output_size" not in names else _folded(x, y)
        return
    given, groups = (None, None), 1
    if "kernel_size" not in names:  # a convolution: the weight tells
        shape = way.inputs[1].shape
        if len(shape) != 4 or not shape[1]:
            return
        given, groups = shape[2:], x.shape[1] // shape[1]
    for ceil in (False, True) if "ceil_mode" in names else (False,):
        axes = [
            list(_axis(n, out, [k] if k else range(1, 7), "dilation" in names, ceil))
            for n, out, k in zip(x.shape[2:], y.shape[2:], given, strict=True)
        ]
        for down, across in sorted(itertools.product(*axes), key=_complexity):
            values: dict[str, Any] = dict(zip(WINDOW, zip(down, across, strict=True), strict=True))
            values |= {"groups": groups, "ceil_mode": ceil, "count_include_pad": True}
            how = {name: value for name, value in values.items() if name in names}
            yield how
            if "count_include_pad" in how and (any(how["padding"]) or ceil):
                yield how | {"count_include_pad": False}


def _axis(n: int, out: int, kernels: Any, dilated: bool, ceil: bool = False) -> Iterator[Axis]:
    """What gives `out` windows on n pixels; with ceil the last one sticks out."""
    dilations = range(1, 4 if dilated else 2)
    for k, s, p, d in itertools.product(kernels, range(1, 6), range(4), dilations):
        room = n + 2 * p - d * (k - 1) - 1
        if room < 0 or (d > 1 and k == 1) or (len(kernels) > 1 and 2 * p > k):
            continue
        if (-(-room // s) if ceil else room // s) + 1 == out:
            yield k, s, p, d


def _complexity(pair: Sequence[Axis]) -> int:
    """Square windows without padding and dilation, with their own size as stride, come first."""
    (k, s, p, d), (kw, sw, pw, dw) = pair
    unlike = (k != kw) + (s != sw) + (p != pw) + (d != dw)
    stride = min(abs(s - k) + abs(sw - kw), s + sw - 2)
    return 2 * (p + pw) + 2 * (d + dw - 2) + unlike + stride


def _unfolded(x: Any, y: Any) -> Iterator[dict[str, Any]]:
    """im2col: y is (N, C kh kw, windows)."""
    if x.ndim != 4 or y.ndim != 3 or not x.shape[1] or y.shape[1] % x.shape[1]:
        return
    area = y.shape[1] // x.shape[1]
    yield from _covers(x.shape[2:], y.shape[2], area)


def _folded(x: Any, y: Any) -> Iterator[dict[str, Any]]:
    """col2im: the same with x and y exchanged."""
    if x.ndim == 3 and y.ndim == 4:
        for how in _unfolded(y, x):
            yield how | {"output_size": y.shape[2:]}


def _covers(size: Any, windows: int, area: int) -> Iterator[dict[str, Any]]:
    for kh in (k for k in range(1, area + 1) if area % k == 0):
        pairs = []
        for oh in (o for o in range(1, windows + 1) if windows % o == 0):
            rows = _axis(size[0], oh, [kh], True)
            columns = list(_axis(size[1], windows // oh, [area // kh], True))
            pairs += list(itertools.product(rows, columns))
        for down, across in sorted(pairs, key=_complexity):
            yield dict(zip(WINDOW, zip(down, across, strict=True), strict=True))
