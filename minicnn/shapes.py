"""Shape arithmetic in pure integers: pairs, axes, output sizes, broadcasting; no arrays here."""

import operator
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

from .errors import ArgumentError, ShapeError

Shape = tuple[int, ...]
Pair = tuple[int, int]


class CheckedPair(tuple):
    """(height, width) that `pair` has seen: two ints, not too small."""

    __slots__ = ()


def describe(shape: Sequence[int]) -> str:
    """An image's shape with its axes named, for error messages: `(N=32, C=1, H=28, W=28)`."""
    return "(" + ", ".join(f"{axis}={n}" for axis, n in zip("NCHW", shape, strict=True)) + ")"


def pair(op: str, argument: str, value: Any, least: int = 1) -> Pair:
    """An int or two of them as (height, width), each at least `least`."""
    if type(value) is CheckedPair and value[0] >= least <= value[1]:
        return value  # the usual, quickly: every layer of a step asks
    values = value if isinstance(value, (tuple, list)) else (value,)
    try:
        height, width = map(operator.index, values if len(values) == 2 else values * 2)
    except (TypeError, ValueError):
        message = f"{op}: {argument} must be an int or a pair (height, width), not {value!r}"
        raise ArgumentError(message) from None
    if height < least or width < least:
        raise ArgumentError(f"{op}: {argument} must be at least {least}, not {value!r}")
    return CheckedPair((height, width))


def axis(op: str, dim: int, ndim: int) -> int:
    """A dimension counted from the front; negative ones count from the end."""
    n = ndim or 1  # a single number has dims 0 and -1 too
    if not -n <= dim < n:
        raise IndexError(f"{op}: dim {dim} is out of range for a tensor of {ndim} dimensions")
    return dim % n


def axes(op: str, dim: int | Sequence[int] | None, ndim: int) -> Shape:
    """Dimensions to reduce over, counted from the front; None and () mean all of them."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    dims = dim if isinstance(dim, (tuple, list)) else (operator.index(dim),)  # type: ignore[arg-type]
    counted = tuple(axis(op, d, ndim) for d in dims)
    if len(set(counted)) != len(counted):
        raise ArgumentError(f"{op}: dim {tuple(dims)} names a dimension twice")
    return tuple(a for a in counted if a < ndim)  # a 0-dim tensor has no axis to reduce


def from_args(shape: tuple[Any, ...]) -> Shape:
    """`f(2, 3)`, `f((2, 3))` and `f([2, 3])` all mean the shape (2, 3)."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return tuple(map(operator.index, shape))


def check_broadcast(op: str, shapes: Sequence[Shape]) -> None:
    """Refuses shapes that element-wise operands cannot have together."""
    columns = zip_longest(*(reversed(s) for s in shapes), fillvalue=1)
    for place, sizes in enumerate(columns, 1):
        if len({*sizes, 1}) > 2:
            raise ShapeError(
                f"{op}: shapes {' and '.join(map(str, shapes))} do not broadcast: from the end, "
                f"dimension {place} has sizes {', '.join(map(str, sizes))}; only 1 may differ"
            )


class Window(NamedTuple):
    """A window sliding over an image: all the geometry that convolution and pooling need.

    Pairs are (height, width).  `out` is how many windows there are along each axis.
    """

    kernel_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    out: Pair

    def reach(self) -> Pair:
        """The rows and columns from a window's first element to its last."""
        (kh, kw), (dh, dw) = self.kernel_size, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    def overhang(self, size: Pair) -> Pair:
        """Rows and columns wanted behind an input of this size, so that all windows fit."""
        (oh, ow), (sh, sw), (rh, rw), (ph, pw) = self.out, self.stride, self.reach(), self.padding
        return max((oh - 1) * sh + rh - size[0] - ph, 0), max((ow - 1) * sw + rw - size[1] - pw, 0)


def window(
    op: str, size: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode=False
) -> Window:
    """The Window over an input of this size: out = floor((size + 2 p - d (k - 1) - 1) / s) + 1.

    The arguments are as users write them; a stride of None is the kernel_size.  With ceil_mode the
    division rounds up, and a last window that sticks out is kept if it starts inside the input or
    the padding before it, as PyTorch does; so may a first one that the input does not fill.
    """
    kernel_size = pair(op, "kernel_size", kernel_size)
    stride = kernel_size if stride is None else pair(op, "stride", stride)
    padding, dilation = pair(op, "padding", padding, 0), pair(op, "dilation", dilation)
    return _window(op, size, kernel_size, stride, padding, dilation, ceil_mode)


@lru_cache(1000)  # a layer's window is the same in every step
def _window(op, size, kernel_size, stride, padding, dilation, ceil_mode) -> Window:
    sliding, out = Window(kernel_size, stride, padding, dilation, (0, 0)), []
    for n, r, s, p in zip(size, sliding.reach(), stride, padding, strict=True):
        room = n + 2 * p - r
        count = (-(room // -s) if ceil_mode else room // s) + 1  # // of a negative rounds up
        out.append(count - 1 if ceil_mode and (count - 1) * s >= n + p else count)
        if out[-1] < 1:
            raise ShapeError(
                f"{op}: no window fits: input (H={size[0]}, W={size[1]}) with padding {padding} is "
                f"smaller than kernel_size {kernel_size} with dilation {dilation}"
            )
    return sliding._replace(out=(out[0], out[1]))
