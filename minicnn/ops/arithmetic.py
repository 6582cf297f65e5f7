"""Element-wise arithmetic, powers, exponentials, choices and comparisons."""

import operator
from collections.abc import Callable
from typing import Any

from .. import kernels
from ..arrays import Array, bool_, is_array, module_of
from ..autograd import Elementwise, FloatElementwise
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


def check_types(op: str, **arrays: Array | None) -> None:
    """Refuses arrays that are not all of one floating type (None is skipped)."""
    check_dtypes(op, **{n: a.dtype for n, a in arrays.items() if a is not None})


def check_dtypes(op: str, **dtypes: Any) -> None:
    """Refuses types that are not all one floating type (None is skipped)."""
    first, *others = [dtype for dtype in dtypes.values() if dtype is not None]
    if first.kind != "f" or others.count(first) < len(others):
        listed = ", ".join(f"{name} is {d}" for name, d in dtypes.items() if d is not None)
        raise DtypeError(f"{op}: needs one floating type for all, but {listed}; use .to(dtype)")


def no_bools(op: str, *operands: Any) -> None:
    """Refuses masks, as PyTorch does; NumPy computes with them in types of its own choice."""
    if bool_ in [getattr(x, "dtype", None) for x in operands]:
        raise DtypeError(f"{op}: does not work on bool tensors; convert with .to(dtype)")


def backward_of(it: str) -> Any:
    """The backward of an op whose forward is the kernel of this name: that kernel's."""
    return staticmethod(lambda ctx, g, *_: kernels.backward(it, g, ctx.saved, ctx.needs_input_grad))


class Add(Elementwise):
    """y = a + b.  VJP: (g, g)."""

    @staticmethod
    def forward(ctx, input, other):
        return input + other

    @staticmethod
    def backward(ctx, g):
        return g, g

    samples = staticmethod(_pairs)


class Sub(Elementwise):
    """y = a - b.  VJP: (g, -g).  Masks are refused; `a & ~b` is the difference of two."""

    @classmethod
    def apply(cls, input, other):
        """Looks at the types before the operands get one in common."""
        no_bools("sub", input, other)
        return super().apply(input, other)

    @staticmethod
    def forward(ctx, input, other):
        return input - other

    @staticmethod
    def backward(ctx, g):
        return g, -g

    @staticmethod
    def samples(rng):
        yield from _pairs(rng)
        mask = rng.random((2, 3)) < 0.5
        yield refused(DtypeError, "sub: does not work on bool", mask, mask)
        yield refused(DtypeError, "sub: does not work on bool", 1, mask)


class Mul(Elementwise):
    """y = a b.  VJP: (g b, g a): each factor's gradient is scaled by the other factor."""

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


class Div(FloatElementwise):
    """y = a / b; integers divide as float32.  VJP: (g / b, -g a / b^2)."""

    @staticmethod
    def forward(ctx, input, other):
        ctx.save_for_backward(input if ctx.needs_input_grad[1] else None, other)
        return input / other

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g / b, None if a is None else -g * (a / b) / b

    samples = staticmethod(_pairs)


class Neg(Elementwise):
    """y = -x.  VJP: -g."""

    @staticmethod
    def forward(ctx, input):
        no_bools("neg", input)
        return -input

    @staticmethod
    def backward(ctx, g):
        return (-g,)

    samples = staticmethod(unary_samples)


class Pow(Elementwise):
    """y = a^b.  VJP: (g b a^(b-1), g y ln a).

    Where b = 0 the first is 0; where a = 0 and b >= 0 the second is 0, as in PyTorch.
    """

    @staticmethod
    def forward(ctx, input, exponent):
        no_bools("pow", input, exponent)
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
        yield refused(DtypeError, "pow: does not work on bool", x > 0, x > 1)
        yield sample(x, 2)
        yield sample(x, 3.0)
        yield sample(x, -1)
        yield sample(x, 0)
        yield on_kink(rng.uniform(0.5, 1, (2, 3)) * [[0, 1, 1], [1, 0, 1]], rng.uniform(1, 2, 3))


class Exp(FloatElementwise):
    """y = e^x.  VJP: g y."""

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


class Log(FloatElementwise):
    """y = ln x.  VJP: g / x.  ln 0 = -inf and ln of a negative number is NaN, without a warning."""

    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return module_of(input).log(input)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return (g / x,)

    samples = staticmethod(unary_samples)


class Sqrt(FloatElementwise):
    """y = sqrt(x).  VJP: g / (2 y), infinite at 0."""

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


class Abs(Elementwise):
    """y = |x|.  VJP: g sign(x), which is 0 at 0."""

    @staticmethod
    def forward(ctx, input):
        no_bools("abs", input)
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


class Clamp(Elementwise):
    """y = min(max(x, min), max), with numbers or tensors as bounds.

    VJP: g to x where min <= x <= max (the edges count), to min where x < min < max, to max where
    x > max or max < min; as in PyTorch, to none of them where x < min = max.
    """

    @staticmethod
    def forward(ctx, input, min=None, max=None):
        if min is max is None:
            raise ArgumentError("clamp: give min, max, or both")
        xp, x = module_of(input), input
        y = x if min is None else xp.maximum(x, min)
        low, high = -xp.inf if min is None else min, xp.inf if max is None else max
        inside, below = (x >= low) & (x <= high), (x < low) & (low < high)
        ctx.save_for_backward(inside, below, (x > high) | (low > high))  # not x: clamp_ changes it
        return y if max is None else xp.minimum(y, max)

    @staticmethod
    def backward(ctx, g):
        return tuple(module_of(g).where(receives, g, 0) for receives in ctx.saved_tensors)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 3, 4))
        yield sample(x, -0.5, 0.5)
        yield sample(x, min=-0.2)
        yield sample(x.transpose(1, 2, 0), max=0.3)
        yield sample(rng.standard_normal((3, 3)), 0.4, -0.4)
        yield sample(rng.standard_normal((3, 3)), -0.5, 0.8)
        yield on_kink(rng.integers(-2, 3, (3, 4)) * 1.0, -1, 1)
        yield sample(x, rng.uniform(-1, 0, (3, 1)), rng.uniform(0, 1, (4,)))
        yield sample(rng.standard_normal((3, 3)), *rng.standard_normal((2, 3, 3)))
        yield refused(ArgumentError, "give min, max", x)


class Where(Elementwise):
    """y = a where condition holds, else b.  VJP: (none, g where condition, g where not)."""

    @staticmethod
    def forward(ctx, condition, input, other):
        condition = condition != 0
        ctx.save_for_backward(condition)
        return module_of(condition).where(condition, input, other)

    @staticmethod
    def backward(ctx, g):
        (condition,) = ctx.saved_tensors
        xp = module_of(g)
        return None, xp.where(condition, g, 0), xp.where(condition, 0, g)

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


def _masks(rng: Any) -> Samples:
    yield sample(rng.random((2, 3, 4)) < 0.5, rng.random((3, 1)) < 0.5)
    yield sample(rng.random((3, 3)) < 0.5, rng.random((3, 3)) < 0.5)
    yield sample(rng.integers(0, 8, (2, 3)), rng.integers(0, 8, (2, 3)))
    yield refused(DtypeError, "boolean and integer", rng.random((2, 3)), rng.random((2, 3)))


def _mask(rng: Any) -> Samples:
    yield sample(rng.random((2, 3, 4)) < 0.5)
    yield sample(rng.integers(0, 8, (3, 3)))
    yield refused(DtypeError, "boolean and integer", rng.random((2, 3)))


def _without_gradient(
    name: str, compute: Callable, about: str, samples: Callable, kinds: str = "buif"
) -> type:
    """The op y = compute(a, b) for arrays of these kinds of types; it has no gradient."""

    def forward(ctx, *operands):
        if any(x.dtype.kind not in kinds for x in operands if is_array(x)):
            raise DtypeError(f"{name}: works on boolean and integer tensors only")
        return compute(*operands)

    body = {"forward": staticmethod(forward), "samples": staticmethod(samples)}
    return type(name, (Elementwise,), body | {"__doc__": about, "__module__": __name__})


Eq = _without_gradient("Eq", operator.eq, "y = (a == b).", _comparisons)
Ne = _without_gradient("Ne", operator.ne, "y = (a != b).", _comparisons)
Lt = _without_gradient("Lt", operator.lt, "y = (a < b).", _comparisons)
Le = _without_gradient("Le", operator.le, "y = (a <= b).", _comparisons)
Gt = _without_gradient("Gt", operator.gt, "y = (a > b).", _comparisons)
Ge = _without_gradient("Ge", operator.ge, "y = (a >= b).", _comparisons)
BitwiseAnd = _without_gradient("BitwiseAnd", operator.and_, "y = a & b, for masks.", _masks, "bui")
BitwiseOr = _without_gradient("BitwiseOr", operator.or_, "y = a | b, for masks.", _masks, "bui")
BitwiseNot = _without_gradient("BitwiseNot", operator.invert, "y = ~x, for masks.", _mask, "bui")
