"""Element-wise arithmetic, powers, exponentials, choices and comparisons."""

from typing import Any

from ..arrays import is_array, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from .samples import Samples, on_kink, refused, sample


def _pairs(rng: Any) -> Samples:
    """What every binary op must handle: broadcasting, numbers, 0-dim, size 0 and 1, strides."""
    a, b = rng.uniform(0.5, 2, (2, 3, 4)), rng.uniform(0.5, 2, (2, 3, 4))
    yield sample(a, b)
    yield sample(a, rng.uniform(0.5, 2, (3, 1)))
    yield sample(rng.uniform(0.5, 2, (4,)), b)
    yield sample(rng.uniform(0.5, 2, (2, 1, 4)), rng.uniform(0.5, 2, (3, 1)))
    yield sample(a, 1.5)
    yield sample(1.5, b)
    yield sample(rng.uniform(0.5, 2, (3, 3)), rng.uniform(0.5, 2, (3, 3)))
    yield sample(rng.uniform(0.5, 2, ()), b)
    yield sample(rng.uniform(0.5, 2, (1,)), rng.uniform(0.5, 2, (1, 1)))
    yield sample(rng.uniform(0.5, 2, (0, 3)), rng.uniform(0.5, 2, (3,)))
    yield sample(a.transpose(2, 0, 1), rng.uniform(0.5, 2, (4, 2, 6))[:, :, ::-2])
    yield refused(ShapeError, r"dimension 1 has sizes 4, 3", a, rng.uniform(0.5, 2, (2, 3, 3)))


def unary_samples(rng: Any, low: float = 0.5, high: float = 2.0) -> Samples:
    """What every unary op must handle."""
    yield sample(rng.uniform(low, high, (2, 3, 4)))
    yield sample(rng.uniform(low, high, (3, 3)))
    yield sample(rng.uniform(low, high, (5, 4, 3)).transpose(2, 0, 1)[:, ::-1])
    yield sample(rng.uniform(low, high, ()))
    yield sample(rng.uniform(low, high, (1, 1)))
    yield sample(rng.uniform(low, high, (0, 2)))


class Add(Function):
    """y = a + b.  VJP: (g, g)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input + other

    @staticmethod
    def backward(ctx, g):
        return g, g

    samples = staticmethod(_pairs)


class Sub(Function):
    """y = a - b.  VJP: (g, -g)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input - other

    @staticmethod
    def backward(ctx, g):
        return g, -g

    samples = staticmethod(_pairs)


class Mul(Function):
    """y = a b.  VJP: (g b, g a): each factor's gradient is scaled by the other factor."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        need_input, need_other = ctx.needs_input_grad
        ctx.save_for_backward(input if need_other else None, other if need_input else None)
        return input * other

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return None if b is None else g * b, None if a is None else g * a

    samples = staticmethod(_pairs)


class Div(Function):
    """y = a / b; integers divide as float32.  VJP: (g / b, -g a / b^2)."""

    broadcasts = True
    floats = True

    @staticmethod
    def forward(ctx, input, other):
        ctx.save_for_backward(input if ctx.needs_input_grad[1] else None, other)
        return input / other

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g / b, None if a is None else -g * a / (b * b)

    samples = staticmethod(_pairs)


class Neg(Function):
    """y = -x.  VJP: -g."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input):
        return -input

    @staticmethod
    def backward(ctx, g):
        return (-g,)

    samples = staticmethod(unary_samples)


class Pow(Function):
    """y = a^b.  VJP: (g b a^(b-1), g y ln a).

    Where b = 0 the first is 0; where a = 0 and b >= 0 the second is 0, as in PyTorch.
    """

    broadcasts = True

    @staticmethod
    def forward(ctx, input, exponent):
        y = input**exponent
        ctx.save_for_backward(input, exponent, y if ctx.needs_input_grad[1] else None)
        return y

    @staticmethod
    def backward(ctx, g):
        a, b, y = ctx.saved_tensors
        xp = module_of(g)
        da = db = None
        if ctx.needs_input_grad[0]:
            safe = xp.where(xp.asarray(b) == 0, 1, b).astype(g.dtype)  # keeps 0^(0-1) out
            da = xp.where(xp.asarray(b) == 0, 0, g * b * a ** (safe - 1))
        if ctx.needs_input_grad[1]:
            zero = (xp.asarray(a) == 0) & (b >= 0)
            db = xp.where(zero, 0, g * y * xp.log(xp.where(zero, 1, a)))
        return da, db

    @staticmethod
    def samples(rng):
        yield from _pairs(rng)
        x = rng.uniform(-2, 2, (2, 3))
        yield sample(x, 2)
        yield sample(x, 3.0)
        yield sample(x, -1)
        yield sample(x, 0)
        yield on_kink(rng.uniform(0.5, 1, (2, 3)) * [[0, 1, 1], [1, 0, 1]], rng.uniform(1, 2, 3))


class Exp(Function):
    """y = e^x.  VJP: g y."""

    broadcasts = True
    floats = True

    @staticmethod
    def forward(ctx, input):
        y = module_of(input).exp(input)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return (g * y,)

    samples = staticmethod(unary_samples)


class Log(Function):
    """y = ln x.  VJP: g / x.  ln 0 = -inf and ln of a negative number is NaN, without a warning."""

    broadcasts = True
    floats = True

    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return module_of(input).log(input)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return (g / x,)

    samples = staticmethod(unary_samples)


class Sqrt(Function):
    """y = sqrt(x).  VJP: g / (2 y), infinite at 0."""

    broadcasts = True
    floats = True

    @staticmethod
    def forward(ctx, input):
        y = module_of(input).sqrt(input)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return (g / (2 * y),)

    samples = staticmethod(unary_samples)


class Abs(Function):
    """y = |x|.  VJP: g sign(x), which is 0 at 0."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return abs(input)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return (g * module_of(g).sign(x),)

    @staticmethod
    def samples(rng):
        yield from unary_samples(rng, -2, 2)
        yield on_kink(rng.uniform(-1, 1, (2, 3)) * [[0, 1, 1], [1, 0, 1]])


class Clamp(Function):
    """y = min(max(x, min), max).  VJP: g where min <= x <= max (the edges count), else 0."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, min=None, max=None):
        if min is None and max is None:
            raise ArgumentError("clamp: give min, max, or both")
        if is_array(min) or is_array(max):
            raise ArgumentError("clamp: min and max must be numbers, not tensors")
        xp = module_of(input)
        y = input if min is None else xp.maximum(input, min)
        y = y if max is None else xp.minimum(y, max)
        ctx.save_for_backward(
            (True if min is None else input >= min) & (True if max is None else input <= max)
        )
        return y

    @staticmethod
    def backward(ctx, g):
        (inside,) = ctx.saved_tensors
        return (g * inside,)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 4))
        yield sample(x, -0.5, 0.5)
        yield sample(x, min=-0.2)
        yield sample(x.transpose(1, 2, 0), max=0.3)
        yield sample(rng.standard_normal((3, 3)), 0.4, -0.4)
        yield on_kink(rng.integers(-2, 3, (3, 4)) * 1.0, -1, 1)
        yield refused(ArgumentError, "give min, max", x)


class Where(Function):
    """y = a where condition holds, else b.  VJP: (none, g where condition, g where not)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, condition, input, other):
        condition = condition != 0
        ctx.save_for_backward(condition)
        return module_of(condition).where(condition, input, other)

    @staticmethod
    def backward(ctx, g):
        (condition,) = ctx.saved_tensors
        return None, g * condition, g * ~condition

    @staticmethod
    def samples(rng):
        for a, b in ((2, 3, 4), (2, 3, 4)), ((3, 1), (4,)), ((), (2, 1, 1)):
            condition = rng.random((2, 3, 4)) < 0.5
            yield sample(condition, rng.standard_normal(a), rng.standard_normal(b))
        square = rng.standard_normal((3, 3))
        yield sample(square > 0, square, rng.standard_normal((3, 3)))
        yield sample(square > 0, square, 0.0)
        yield refused(ShapeError, "do not broadcast", square > 0, square, rng.random(4))


# ---- comparisons: bool, without gradient -----------------------------------------------------


def _comparisons(rng: Any) -> Samples:
    a, b = rng.integers(-2, 3, (2, 3, 4)), rng.integers(-2, 3, (3, 1))
    yield sample(a, b)
    yield sample(a * 0.5, 0.5)
    yield sample(rng.integers(-2, 3, (3, 3)), rng.integers(-2, 3, (3, 3)))
    yield sample(a, 0.5)
    yield sample(rng.integers(0, 2, (0, 3)), 1)
    yield refused(ShapeError, "do not broadcast", a, rng.integers(0, 2, (5,)))


class Eq(Function):
    """y = (a == b)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input == other

    samples = staticmethod(_comparisons)


class Ne(Function):
    """y = (a != b)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input != other

    samples = staticmethod(_comparisons)


class Lt(Function):
    """y = (a < b)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input < other

    samples = staticmethod(_comparisons)


class Le(Function):
    """y = (a <= b)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input <= other

    samples = staticmethod(_comparisons)


class Gt(Function):
    """y = (a > b)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input > other

    samples = staticmethod(_comparisons)


class Ge(Function):
    """y = (a >= b)."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        return input >= other

    samples = staticmethod(_comparisons)


def _masks(rng: Any) -> Samples:
    yield sample(rng.random((2, 3, 4)) < 0.5, rng.random((3, 1)) < 0.5)
    yield sample(rng.random((3, 3)) < 0.5, rng.random((3, 3)) < 0.5)
    yield sample(rng.integers(0, 8, (2, 3)), rng.integers(0, 8, (2, 3)))
    yield refused(DtypeError, "boolean and integer", rng.random((2, 3)), rng.random((2, 3)))


def _no_floats(op: str, *operands: Any) -> None:
    if any(is_array(x) and x.dtype.kind == "f" for x in operands):
        raise DtypeError(f"{op}: works on boolean and integer tensors only")


class BitwiseAnd(Function):
    """y = a & b, for masks and integers."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        _no_floats("bitwise_and", input, other)
        return input & other

    samples = staticmethod(_masks)


class BitwiseOr(Function):
    """y = a | b, for masks and integers."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, other):
        _no_floats("bitwise_or", input, other)
        return input | other

    samples = staticmethod(_masks)


class BitwiseNot(Function):
    """y = ~x: not x for masks, the bits' complement for integers."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input):
        _no_floats("bitwise_not", input)
        return ~input

    @staticmethod
    def samples(rng):
        yield sample(rng.random((2, 3, 4)) < 0.5)
        yield sample(rng.integers(0, 8, (3, 3)))
        yield refused(DtypeError, "boolean and integer", rng.random((2, 3)))
