"""Activations: sigmoid, tanh and LeCun's scaled tanh, ReLUs, softmax."""

from typing import Any

from .. import shapes
from ..arrays import Array, module_of
from ..autograd import Function
from ..errors import DtypeError
from ..fusion import KernelOp
from ..kernels import Call, geometry
from .arithmetic import check_types, no_bools, unary_samples
from .samples import Samples, on_kink, refused, sample


def _everywhere(rng: Any) -> Samples:
    """Both signs, and values where an exponential of them would overflow."""
    yield from unary_samples(rng, -3, 3)
    yield sample(rng.uniform(-3, 3, (2, 3)) + [[-800.0], [800.0]])


@geometry
def elementwise(kernel: str, shape: shapes.Shape, dtype: Any, *numbers: float) -> Call:
    """The call of an activation's kernel, whose result is like its input."""
    return Call(kernel, shape, dtype, numbers)


class Sigmoid(KernelOp):
    """y = 1 / (1 + e^-x).  VJP: g y (1 - y)."""

    floats = True

    @staticmethod
    def call(input):
        return elementwise("sigmoid", input.shape, input.dtype)

    samples = staticmethod(_everywhere)


class Tanh(KernelOp):
    """y = tanh x.  VJP: g (1 - y^2)."""

    floats = True

    @staticmethod
    def call(input):
        return elementwise("tanh", input.shape, input.dtype)

    samples = staticmethod(_everywhere)


class ScaledTanh(KernelOp):
    """y = A tanh(S x), with A = 1.7159 and S = 2/3 so that f(1) = 1 and f(-1) = -1.

    VJP: g (S/A) (A - y) (A + y).  Source: LeCun et al. 1998, equation 6 and appendix A.
    """

    floats = True

    @staticmethod
    def call(input, amplitude=1.7159, slope=2 / 3):
        return elementwise("scaled_tanh", input.shape, input.dtype, amplitude, slope)

    @staticmethod
    def samples(rng):
        yield from _everywhere(rng)
        yield sample(rng.uniform(-3, 3, (2, 3)), 1.5, 0.8)


def _around_zero(rng: Any) -> Samples:
    yield from unary_samples(rng, -2, 2)
    yield on_kink(rng.uniform(-1, 1, (2, 3)) * [[0, 1, 1], [1, 0, 1]])


class ReLU(KernelOp):
    """y = max(x, 0).  VJP: g where x > 0, else 0 (the slope at 0 is 0)."""

    @staticmethod
    def call(input):
        if input.dtype.kind == "b":
            no_bools("relu", input)
        return elementwise("relu", input.shape, input.dtype)

    samples = staticmethod(_around_zero)


class LeakyReLU(Function):
    """y = x where x > 0, else negative_slope x.  VJP: g times the slope, at 0 the negative one."""

    @staticmethod
    def forward(ctx, input, negative_slope=0.01):
        check_types("leaky_relu", input=input)
        xp = module_of(input)
        slope = xp.where(input > 0, 1, negative_slope).astype(input.dtype)
        ctx.save_for_backward(slope)
        return input * slope

    @staticmethod
    def backward(ctx, g):
        (slope,) = ctx.saved_tensors
        return (g * slope,)

    @staticmethod
    def samples(rng):
        yield from _around_zero(rng)
        yield sample(rng.uniform(-2, 2, (2, 3)), 0.3)
        yield refused(DtypeError, "floating type", rng.integers(0, 5, (2, 3)))


def _log_softmax(x: Array, axis: int) -> Array:
    xp = module_of(x)
    shifted = x - x.max(axis, keepdims=True) if x.size else x
    return shifted - xp.log(xp.exp(shifted).sum(axis, keepdims=True))


def _over_classes(rng: Any) -> Samples:
    x = rng.standard_normal((2, 3, 4))
    yield sample(x, 1)
    yield sample(x, -1)
    yield sample(rng.standard_normal((3, 3)), 0)
    yield sample(rng.standard_normal((4, 2)).T[:, ::-1] + 1e4, 1)
    yield sample(rng.standard_normal((2, 1)), 1)
    yield sample(rng.standard_normal((0, 3)), 1)
    yield refused(IndexError, "dim 3 is out of range", x, 3)
    yield refused(DtypeError, "floating type", rng.integers(0, 5, (2, 3)), 1)


class Softmax(Function):
    """y = e^x / sum e^x along `dim`, shifted by the maximum so that nothing overflows.

    VJP: y (g - sum(g y)).
    """

    @staticmethod
    def forward(ctx, input, dim):
        check_types("softmax", input=input)
        ctx.axis = shapes.axis("softmax", dim, input.ndim)
        y = module_of(input).exp(_log_softmax(input, ctx.axis))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return (y * (g - (g * y).sum(ctx.axis, keepdims=True)),)

    samples = staticmethod(_over_classes)


class LogSoftmax(Function):
    """y = x - ln sum e^x along `dim`, shifted by the maximum.  VJP: g - e^y sum(g)."""

    @staticmethod
    def forward(ctx, input, dim):
        check_types("log_softmax", input=input)
        ctx.axis = shapes.axis("log_softmax", dim, input.ndim)
        y = _log_softmax(input, ctx.axis)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return (g - module_of(g).exp(y) * g.sum(ctx.axis, keepdims=True),)

    samples = staticmethod(_over_classes)
