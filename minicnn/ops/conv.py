"""Convolution as im2col and a matrix product; unfold and fold, which are im2col and col2im."""

from typing import Any

from .. import kernels
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from ..fusion import KernelOp
from ..kernels import Call, geometry
from ..shapes import Shape, Window, describe, pair, window
from .arithmetic import check_dtypes
from .samples import refused, sample


def check_image(op: str, shape: Shape) -> None:
    """Refuses what is no (N, C, H, W)."""
    if len(shape) != 4:
        raise ShapeError(f"{op}: input must be (N, C, H, W), not {shape}")


class Unfold(Function):
    """im2col: every window as a column, (N, C, H, W) -> (N, C*kh*kw, L) with L = oh*ow windows.

    VJP: col2im (`fold`), which adds each column back to where it was copied from.
    """

    @staticmethod
    def forward(ctx, input, kernel_size, dilation=1, padding=0, stride=1):
        check_image("unfold", input.shape)
        ctx.window = window("unfold", input.shape[2:], kernel_size, stride, padding, dilation)
        ctx.shape = input.shape
        return kernels.call("im2col", input, ctx.window)

    @staticmethod
    def backward(ctx, g):
        return (kernels.call("col2im", g, ctx.shape, ctx.window),)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 6, 7))
        yield sample(x, (2, 3))
        yield sample(x, (3, 2), (2, 1), (1, 2), (2, 3))
        yield sample(rng.standard_normal((2, 2, 5, 5)), 3, padding=1)
        yield sample(rng.standard_normal((1, 1, 1, 1)), 1)
        yield sample(rng.standard_normal((0, 2, 4, 5)), 2)
        yield sample(x.transpose(0, 1, 3, 2)[:, :, ::-1], (2, 3), stride=2)
        yield refused(ShapeError, "no window fits", x, (7, 2))
        yield refused(ShapeError, r"must be \(N, C, H, W\)", x[0, 0], 2)


class Fold(Function):
    """col2im: (N, C*kh*kw, L) -> (N, C, *output_size), columns added where their windows overlap.

    VJP: im2col (`unfold`).
    """

    @staticmethod
    def forward(ctx, input, output_size, kernel_size, dilation=1, padding=0, stride=1):
        size = pair("fold", "output_size", output_size)
        ctx.window = window("fold", size, kernel_size, stride, padding, dilation)
        (kh, kw), (oh, ow) = ctx.window.kernel_size, ctx.window.out
        if input.ndim != 3 or input.shape[1] % (kh * kw) or input.shape[2] != oh * ow:
            expected = f"(N, C*{kh}*{kw}, L={oh * ow}) for output_size {size}"
            raise ShapeError(f"fold: input must be {expected}, not {input.shape}")
        shape = (input.shape[0], input.shape[1] // (kh * kw), *size)
        return kernels.call("col2im", input, shape, ctx.window)

    @staticmethod
    def backward(ctx, g):
        return (kernels.call("im2col", g, ctx.window),)

    @staticmethod
    def samples(rng):
        yield sample(rng.standard_normal((2, 18, 25)), (6, 7), (2, 3))
        yield sample(rng.standard_normal((2, 18, 8)), (6, 7), (3, 2), (2, 1), (1, 2), (2, 3))
        yield sample(rng.standard_normal((2, 18, 25)), 5, 3, padding=1)
        yield sample(rng.standard_normal((2, 4, 4)), 4, 2, stride=2)
        yield sample(rng.standard_normal((25, 2, 18)).transpose(1, 2, 0), (6, 7), (2, 3))
        yield sample(rng.standard_normal((0, 4, 12)), (4, 5), 2)
        yield refused(ShapeError, "L=25", rng.random((2, 18, 24)), (6, 7), (2, 3))


class Conv2d(KernelOp):
    """y[n,o,i,j] = b[o] + sum_cuv w[o,c,u,v] x[n, c, i sh + u dh - ph, j sw + v dw - pw].

    (A cross-correlation: the kernel is not flipped.)  With groups, output channel o sees only the
    C/groups input channels of its own group.

    VJP: dw sums g times the input it met, over the batch and all positions; dx sends g back
    through the weights (col2im of w^T g); db sums g over batch and positions.

    Shapes: input (N, C, H, W), weight (O, C/groups, kh, kw), bias (O), y (N, O, oh, ow) with
    oh = floor((H + 2 ph - dh (kh - 1) - 1) / sh) + 1.  padding may be "valid" (none) or "same"
    (oh = H for stride 1; an odd total pads one more behind).
    """

    rank = 4
    weights = 2

    @staticmethod
    def call(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        b = (None, None) if bias is None else (bias.shape, bias.dtype)
        kinds = input.shape, input.dtype, weight.shape, weight.dtype, *b
        if tuple in (type(stride), type(padding), type(dilation)):  # not checked yet: 2.0 is no 2
            stride, dilation = (
                pair("conv2d", "stride", stride),
                pair("conv2d", "dilation", dilation),
            )
            padding = padding if type(padding) is str else pair("conv2d", "padding", padding, 0)
        return _conv2d(*kinds, stride, padding, dilation, groups)

    @staticmethod
    def samples(rng):
        normal = rng.standard_normal
        x, w, b = normal((2, 3, 7, 6)), normal((4, 3, 3, 2)), normal(4)
        yield sample(x, w, b)
        yield sample(x, w)
        yield sample(x, w, b, (2, 3), (1, 2), (2, 1))
        yield sample(x, w, b, stride=(3, 1), padding=(0, 1))
        yield sample(normal((2, 4, 5, 6)), normal((6, 2, 3, 2)), normal(6), groups=2)
        yield sample(normal((2, 4, 5, 5)), normal((4, 1, 3, 3)), normal(4), 2, 1, groups=4)
        yield sample(x, w, b, padding="same")
        yield sample(x, normal((4, 3, 4, 3)), b, padding="same", dilation=(1, 2))
        yield sample(x, w, b, padding="valid")
        yield sample(normal((3, 3, 3, 3)), normal((3, 3, 3, 3)), normal(3), padding=1)
        yield sample(normal((2, 3, 4, 5)), normal((5, 3, 1, 1)), normal(5))
        yield sample(normal((1, 1, 1, 1)), normal((1, 1, 1, 1)), normal(1))
        yield sample(normal((0, 3, 7, 6)), w, b)
        yield sample(x.transpose(0, 1, 3, 2)[:, :, ::-1], w.transpose(0, 1, 3, 2)[::-1], b)
        names = r"conv2d: weight expects C_in=3 but input is \(N=2, C=4, H=7, W=6\)"
        yield refused(ShapeError, names, normal((2, 4, 7, 6)), w, b)
        yield refused(ShapeError, "bias", x, w, normal(3))
        yield refused(ShapeError, "no window fits", x, normal((4, 3, 8, 2)), b)
        yield refused(ShapeError, r"\(N, C, H, W\)", x[0, 0], w, b)
        yield refused(ArgumentError, "groups=3", x, w, b, groups=3)
        yield refused(ArgumentError, "stride must be at least 1", x, w, b, 0)
        yield refused(ArgumentError, "'same' needs stride 1", x, w, b, 2, "same")
        yield refused(ArgumentError, "padding must be .* 'full'", x, w, b, 1, "full")
        yield refused(DtypeError, "weight is float32", x, w.astype("f4"), b)


@geometry
def _conv2d(x, dtype, w, w_dtype, b, b_dtype, stride, padding, dilation, groups) -> Call:
    """The call for an input, a weight and a bias of these shapes and types."""
    check_image("conv2d", x)
    if len(w) != 4:
        raise ShapeError(f"conv2d: weight must be (O, C/groups, kh, kw), not {w}")
    if groups < 1 or w[0] % groups:
        raise ArgumentError(f"conv2d: groups={groups} must divide out_channels={w[0]}")
    if x[1] != w[1] * groups:
        raise ShapeError(f"conv2d: weight expects C_in={w[1] * groups} but input is {describe(x)}")
    if b is not None and b != w[:1]:
        raise ShapeError(f"conv2d: bias must be (O={w[0]},), not {b}")
    check_dtypes("conv2d", input=dtype, weight=w_dtype, bias=b_dtype)
    if isinstance(padding, str):
        windows = _named_padding(padding, x[2:], w[2:], stride, dilation)
    else:
        windows = window("conv2d", x[2:], w[2:], stride, padding, dilation)
    return Call("conv2d", (x[0], w[0], *windows.out), dtype, (windows, groups), (w, b))


def _named_padding(padding: str, size: Any, kernel: Any, stride: Any, dilation: Any) -> Window:
    """ "valid": no padding; "same": so much that there are as many windows as pixels."""
    if padding not in ("same", "valid"):
        raise ArgumentError(f"conv2d: padding must be numbers, 'valid' or 'same', not {padding!r}")
    if padding == "valid":
        return window("conv2d", size, kernel, stride, 0, dilation)
    if pair("conv2d", "stride", stride) != (1, 1):
        raise ArgumentError("conv2d: padding 'same' needs stride 1")
    dilation = pair("conv2d", "dilation", dilation)
    ph, pw = (d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    return Window(kernel, (1, 1), (ph, pw), dilation, size)  # behind it is one more, if odd
