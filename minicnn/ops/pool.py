"""Pooling: average, maximum, adaptive average, and LeNet's trainable subsampling."""

import itertools
from collections.abc import Iterator
from typing import Any

from .. import kernels
from ..arrays import Array, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from ..fusion import KernelOp
from ..kernels import Call, geometry
from ..shapes import Pair, Shape, Window, pair, window
from .arithmetic import backward_of, check_dtypes, check_types
from .conv import check_image
from .samples import on_kink, refused, sample


def pool_window(
    op: str, x: Shape, dtype: Any, kernel: Any, stride: Any, padding: Any, *more: Any
) -> Window:
    """The Window of a pooling layer; padding must be at most half of its kernel_size."""
    check_image(op, x)
    check_dtypes(op, input=dtype)
    windows = window(op, x[2:], kernel, stride, padding, *more)
    (ph, pw), (kh, kw) = windows.padding, windows.kernel_size
    if 2 * ph > kh or 2 * pw > kw:
        raise ArgumentError(f"{op}: padding {padding} must be at most half of the window {kernel}")
    return windows


def pairs(op: str, kernel_size: Any, stride: Any, padding: Any) -> tuple[Pair, Pair, Pair]:
    """A pool's sizes as pairs of ints; a stride of None is the kernel_size."""
    kernel_size = pair(op, "kernel_size", kernel_size)
    stride = kernel_size if stride is None else pair(op, "stride", stride)
    return kernel_size, stride, pair(op, "padding", padding, 0)


class AvgPool2d(KernelOp):
    """Mean of each window: y[n,c,i,j] = 1/(kh kw) sum_uv x[n, c, i sh + u - ph, j sw + v - pw].

    VJP: every input element receives g/(kh kw) from each window that covers it.

    Padding zeros count in kh kw unless count_include_pad is False; what ceil_mode lets a window
    stick out beyond the padding never counts; divisor_override replaces the count.  Without
    ceil_mode, a remainder that no window covers gets no gradient.
    """

    rank = 4

    @staticmethod
    def call(
        input, kernel_size, stride=None, padding=0, ceil_mode=False,
        count_include_pad=True, divisor_override=None,
    ):  # fmt: skip
        how = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        if tuple in (type(kernel_size), type(stride), type(padding)):  # not checked yet
            how = *pairs("avg_pool2d", *how[:3]), *how[3:]
        return _avg_pool2d(input.shape, input.dtype, *how)

    @staticmethod
    def samples(rng):
        yield from _pool_samples(rng)
        x = rng.standard_normal((2, 3, 7, 6))
        yield sample(x, (3, 2), 2, (1, 1), count_include_pad=False)
        yield sample(x, (3, 4), (2, 3), (1, 2), True)
        yield sample(x, (3, 4), (2, 3), (1, 2), True, False)
        yield sample(x, 2, divisor_override=3)
        yield refused(ArgumentError, "must not be 0", x, 2, divisor_override=0)


@geometry
def _avg_pool2d(x, dtype, kernel_size, stride, padding, ceil_mode, count_padding, divisor) -> Call:
    if divisor == 0:
        raise ArgumentError("avg_pool2d: divisor_override must not be 0")
    windows = pool_window("avg_pool2d", x, dtype, kernel_size, stride, padding, 1, ceil_mode)
    return Call("avg_pool2d", (*x[:2], *windows.out), dtype, (windows, count_padding, divisor))


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


class MaxPool2d(KernelOp):
    """The maximum of each window.

    VJP: each window's g goes to its maximum; to the first in row-major order where several tie.
    NaN counts as the largest.  Padding is -inf and never wins.
    """

    rank = 4

    @staticmethod
    def call(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        how = kernel_size, stride, padding, dilation, ceil_mode
        if tuple in (type(kernel_size), type(stride), type(padding)):  # not checked yet
            how = *pairs("max_pool2d", *how[:3]), *how[3:]
        return _max_pool2d(input.shape, input.dtype, *how)

    @staticmethod
    def samples(rng):
        yield from _pool_samples(rng)
        x = rng.standard_normal((2, 3, 7, 6))
        yield sample(x, (3, 2), 1, (1, 1), (2, 3))
        yield sample(x, (3, 4), (2, 3), (1, 2), ceil_mode=True)
        yield on_kink(rng.integers(0, 3, (2, 3, 7, 6)) * 1.0, 3, 2)


@geometry
def _max_pool2d(x, dtype, kernel_size, stride, padding, dilation, ceil_mode) -> Call:
    windows = pool_window("max_pool2d", x, dtype, kernel_size, stride, padding, dilation, ceil_mode)
    return Call("max_pool2d", (*x[:2], *windows.out), dtype, (windows,))


class MaxPool2dWithIndices(Function, kernel=True):
    """(y, indices): MaxPool2d, and where in its plane each maximum was, h*W + w.

    VJP: as MaxPool2d's.
    """

    @staticmethod
    def forward(ctx, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        (windows,) = MaxPool2d.call(
            input, kernel_size, stride, padding, dilation, ceil_mode
        ).arguments
        y, ctx.saved = kernels.forward("max_pool2d_with_indices", input, windows)
        return y

    backward = backward_of("max_pool2d_with_indices")

    @staticmethod
    def samples(rng):
        return (s for s in MaxPool2d.samples(rng) if s.raises is not DtypeError)


class Subsample2d(KernelOp):
    """LeNet's trainable subsampling: y = coefficient_c * (sum of the window) + bias_c.

    One coefficient and one bias per map, both learnt.  VJP: dx spreads coefficient_c g over the
    window; the coefficient receives the sum of g times the window's sum, the bias the sum of g.

    Source: LeCun, Bottou, Bengio, Haffner 1998, section II.B, which says both "added" and
    "average"; this adds (an average is the same with 1/(kh kw) inside the coefficient).  Shapes:
    input (N, C, H, W), coefficient (C), bias (C).  The rest as in avg_pool2d; padding adds zeros.
    """

    rank = 4
    weights = 2

    @staticmethod
    def call(input, coefficient, bias, kernel_size, stride=None, padding=0, ceil_mode=False):
        vectors = coefficient.shape, coefficient.dtype, bias.shape, bias.dtype
        how = kernel_size, stride, padding, ceil_mode
        if tuple in (type(kernel_size), type(stride), type(padding)):  # not checked yet
            how = *pairs("subsample2d", *how[:3]), *how[3:]
        return _subsample2d(input.shape, input.dtype, *vectors, *how)

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


@geometry
def _subsample2d(
    x, dtype, coefficient, c_dtype, bias, b_dtype, kernel_size, stride, padding, ceil_mode
) -> Call:
    windows = pool_window("subsample2d", x, dtype, kernel_size, stride, padding, 1, ceil_mode)
    for name, shape in ("coefficient", coefficient), ("bias", bias):
        if shape != x[1:2]:
            raise ShapeError(f"subsample2d: {name} must be {x[1:2]}, not {shape}")
    check_dtypes("subsample2d", input=dtype, coefficient=c_dtype, bias=b_dtype)
    out = (*x[:2], *windows.out)
    return Call("subsample2d", out, dtype, (windows,), (coefficient, bias))


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
        check_image("adaptive_avg_pool2d", input.shape)
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
