"""Pooling: average, maximum, adaptive average, and LeNet's trainable subsampling."""

import itertools
from collections.abc import Iterator
from typing import Any

from .. import kernels
from ..arrays import Array, is_floating, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from ..shapes import Pair, Window, pair, window
from .arithmetic import backward_of, check_types
from .conv import check_image
from .samples import on_kink, refused, sample


def pool_window(op: str, x: Array, kernel: Any, stride: Any, padding: Any, *more: Any) -> Window:
    """The Window of a pooling layer; padding must be at most half of its kernel_size."""
    check_image(op, x)
    if not is_floating(x.dtype):  # asked here first: quicker, and every step comes by
        check_types(op, input=x)
    found = window(op, x.shape[2:], kernel, stride, padding, *more)
    (ph, pw), (kh, kw) = found.padding, found.kernel_size
    if 2 * ph > kh or 2 * pw > kw:
        raise ArgumentError(f"{op}: padding {padding} must be at most half of the window {kernel}")
    return found


class AvgPool2d(Function, kernel=True):
    """Mean of each window: y[n,c,i,j] = 1/(kh kw) sum_uv x[n, c, i sh + u - ph, j sw + v - pw].

    VJP: every input element receives g/(kh kw) from each window that covers it.

    Padding zeros count in kh kw unless count_include_pad is False; what ceil_mode lets a window
    stick out beyond the padding never counts; divisor_override replaces the count.  Without
    ceil_mode, a remainder that no window covers gets no gradient.
    """

    @staticmethod
    def forward(
        ctx, input, kernel_size, stride=None, padding=0, ceil_mode=False,
        count_include_pad=True, divisor_override=None,
    ):  # fmt: skip
        if divisor_override == 0:
            raise ArgumentError("avg_pool2d: divisor_override must not be 0")
        found = pool_window("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
        how = (count_include_pad, divisor_override)
        y, ctx.saved = kernels.forward("avg_pool2d", input, found, *how)
        return y

    backward = backward_of("avg_pool2d")

    @staticmethod
    def samples(rng):
        yield from _pool_samples(rng)
        x = rng.standard_normal((2, 3, 7, 6))
        yield sample(x, (3, 2), 2, (1, 1), count_include_pad=False)
        yield sample(x, (3, 4), (2, 3), (1, 2), True)
        yield sample(x, (3, 4), (2, 3), (1, 2), True, False)
        yield sample(x, 2, divisor_override=3)
        yield refused(ArgumentError, "must not be 0", x, 2, divisor_override=0)


def _pool_samples(rng: Any) -> Any:
    """What every pool must handle: remainders, overlap, gaps, padding, squares, size 1, strides."""
    x = rng.standard_normal((2, 3, 7, 6))
    yield sample(x, 2)
    yield sample(x, (3, 2), (2, 1))
    yield sample(x, (2, 1), (3, 2))
    yield sample(x, (3, 2), (2, 3), (1, 0))
    yield sample(x, (2, 3), ceil_mode=True)
    yield sample(rng.standard_normal((3, 3, 4, 4)), 2)
    yield sample(rng.standard_normal((2, 2, 1, 1)), 1)
    yield sample(rng.standard_normal((0, 3, 4, 6)), 2)
    yield sample(x.transpose(1, 0, 3, 2)[:, :, ::-1], (2, 3), 2)
    yield refused(ShapeError, "no window fits", x, (8, 2))
    yield refused(ShapeError, r"must be \(N, C, H, W\)", x[0, 0], 2)
    yield refused(ArgumentError, "at most half", x, 2, 2, 2)
    yield refused(ArgumentError, "kernel_size must be at least 1", x, 0)
    yield refused(DtypeError, "floating type", rng.integers(0, 5, (2, 3, 4, 6)), 2)


class MaxPool2d(Function, kernel=True):
    """(y, indices): the maximum of each window, and where in its plane it was, h*W + w.

    y alone without return_indices, which saves their computation.

    VJP: each window's g goes to its maximum; to the first in row-major order where several tie.
    NaN counts as the largest.  Padding is -inf and never wins.
    """

    @staticmethod
    def forward(
        ctx, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
        return_indices=True,
    ):  # fmt: skip
        found = pool_window("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
        y, ctx.saved = kernels.forward("max_pool2d", input, found, return_indices)
        return y if return_indices else y[0]

    backward = backward_of("max_pool2d")

    @staticmethod
    def samples(rng):
        yield from _pool_samples(rng)
        x = rng.standard_normal((2, 3, 7, 6))
        yield sample(x, (3, 2), 1, (1, 1), (2, 3))
        yield sample(x, (3, 4), (2, 3), (1, 2), ceil_mode=True)
        yield on_kink(rng.integers(0, 3, (2, 3, 7, 6)) * 1.0, 3, 2)


class Subsample2d(Function, kernel=True):
    """LeNet's trainable subsampling: y = coefficient_c * (sum of the window) + bias_c.

    One coefficient and one bias per map, both learnt.  VJP: dx spreads coefficient_c g over the
    window; the coefficient receives the sum of g times the window's sum, the bias the sum of g.

    Source: LeCun, Bottou, Bengio, Haffner 1998, section II.B, which says both "added" and
    "average"; this adds (an average is the same with 1/(kh kw) inside the coefficient).  Shapes:
    input (N, C, H, W), coefficient (C), bias (C).  The rest as in avg_pool2d; padding adds zeros.
    """

    @staticmethod
    def forward(
        ctx, input, coefficient, bias, kernel_size, stride=None, padding=0, ceil_mode=False
    ):
        found = pool_window("subsample2d", input, kernel_size, stride, padding, 1, ceil_mode)
        for name, a in ("coefficient", coefficient), ("bias", bias):
            if a.shape != input.shape[1:2]:
                raise ShapeError(f"subsample2d: {name} must be {input.shape[1:2]}, not {a.shape}")
        check_types("subsample2d", input=input, coefficient=coefficient, bias=bias)
        y, ctx.saved = kernels.forward("subsample2d", input, coefficient, bias, found)
        return y

    backward = backward_of("subsample2d")

    @staticmethod
    def samples(rng):
        for s in _pool_samples(rng):
            maps = s.args[0].shape[1:2]
            s.args = (s.args[0], rng.standard_normal(maps), rng.standard_normal(maps), *s.args[1:])
            if s.raises is not DtypeError:
                yield s
        x, a = rng.standard_normal((2, 3, 7, 6)), rng.standard_normal(3)
        yield refused(ShapeError, r"coefficient must be \(3,\), not \(2,\)", x, a[:2], a, 2)
        yield refused(DtypeError, "bias is float32", x, a, a.astype("f4"), 2)


def _cells(x: Array, out: Pair) -> Iterator[tuple[int, int, Array]]:
    """(i, j, the view of x that output element (i, j) averages)."""
    (h, w), (oh, ow) = x.shape[2:], out
    for i, j in itertools.product(range(oh), range(ow)):
        rows = slice(i * h // oh, -((i + 1) * h // -oh))
        columns = slice(j * w // ow, -((j + 1) * w // -ow))
        yield i, j, x[:, :, rows, columns]


class AdaptiveAvgPool2d(Function):
    """Means over a grid of output_size cells that cover the input, whatever its size.

    Cell i spans rows floor(i H / oh) .. ceil((i + 1) H / oh), so cells may overlap by a row.
    None keeps that size.  VJP: each element of a cell receives g over the cell's size.
    """

    @staticmethod
    def forward(ctx, input, output_size):
        check_image("adaptive_avg_pool2d", input)
        check_types("adaptive_avg_pool2d", input=input)
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
        wanted = [n if o is None else o for n, o in zip(input.shape[2:], sizes, strict=True)]
        ctx.shape, ctx.out = input.shape, pair("adaptive_avg_pool2d", "output_size", wanted)
        y = module_of(input).empty(input.shape[:2] + ctx.out, input.dtype)
        for i, j, cell in _cells(input, ctx.out):
            y[:, :, i, j] = cell.mean(axis=(2, 3))
        return y

    @staticmethod
    def backward(ctx, g):
        dx = module_of(g).zeros(ctx.shape, g.dtype)
        for i, j, cell in _cells(dx, ctx.out):
            cell += (g[:, :, i, j] / (cell.shape[2] * cell.shape[3]))[:, :, None, None]
        return (dx,)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 7, 5))
        yield sample(x, (3, 2))
        yield sample(x, 1)
        yield sample(x, (None, 4))
        yield sample(x, (9, 6))
        yield sample(rng.standard_normal((3, 3, 4, 4)), 2)
        yield sample(x.transpose(1, 0, 3, 2)[:, :, ::-1], (2, 3))
        yield refused(ShapeError, r"must be \(N, C, H, W\)", x[0, 0], 2)
