"""Broadcasting arithmetic, and the mistakes in its backward passes; those of reshape, sum and pad.

The operations that only move or add up elements are in layout.py.
"""

import numpy as np

from .kinds import Bug, Operation

BUGS = (
    Bug(
        "GB076", "not summed over the broadcast axes",
        "return g, g", "return g, g.sum(axis=0)      # other was (C,)",
        "a has the output's shape, not the input's",
        "One number was used many times: its gradient is the sum over all uses. Sum over every "
        "axis along which the input was stretched.",
    ),
    Bug(
        "GB077", "mean instead of sum",
        "db = g.mean(axis=0)", "db = g.sum(axis=0)",
        "r = 1/(length of the broadcast axes) in every entry",
        "Broadcasting uses a number several times, and gradients of several uses add up.",
    ),
    Bug(
        "GB078", "summed over the wrong axes",
        "db = g.sum(axis=1)", "db = g.sum(axis=0)",
        "needs N = C to run: a has the sums of the rows, n those of the columns",
        "Broadcasting aligns shapes at the right end: (C,) with (N, C) is stretched along axis 0.",
    ),
    Bug(
        "GB079", "product uses its own operand",
        "return g * x, g * y", "return g * y, g * x      # z = x * y",
        "a/g is the input itself instead of the other operand",
        "The derivative of x y with respect to x is y: swap them.",
    ),
    Bug(
        "GB080", "permutation not inverted",
        "dx = g.transpose(axes)", "dx = g.transpose(np.argsort(axes))",
        "the right numbers at the wrong places; a shape error unless sizes agree",
        "To undo a permutation of axes use the inverse one, argsort(axes); they are the same only "
        "where two axes changed places.",
    ),
    Bug(
        "GB081", "reshape order, or .T for reshape",
        "dx = g.T", "dx = g.reshape(x.shape)",
        "the right numbers at the wrong places: sorted(a) = sorted(n)",
        "reshape keeps the order in memory and transpose changes it: undo each with its own kind.",
    ),
)  # fmt: skip


def unbroadcast(g, shape):
    """The sum over all axes along which an array of this shape was stretched."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


# ---- samples ---------------------------------------------------------------------------------


def sample(rng):
    """Any of the families below."""
    families = (alike, row, row, column)
    return families[rng.integers(len(families))](rng)


def draw(rng, first, second):
    """Two arrays; the second has no values near 0, so that it can divide."""
    signs = rng.choice([-1, 1], second)
    return [rng.standard_normal(first), signs * rng.uniform(0.5, 1.5, second)], {}


def alike(rng):
    shape = rng.permutation([2, 3, 4, 5])[:2]
    return draw(rng, shape, shape)


def row(rng):
    """(N, C) and (C,): a bias."""
    n, c = rng.permutation([2, 3, 4, 5])[:2]
    return draw(rng, (n, c), (c,))


def square_row(rng):
    """(C, C) and (C,)."""
    c = int(rng.integers(3, 5))
    return draw(rng, (c, c), (c,))


def column(rng):
    """(N, C) and (N, 1)."""
    n, c = rng.permutation([2, 3, 4, 5])[:2]
    return draw(rng, (n, c), (n, 1))


def examples():
    x, b = np.array([[1.0, 2, 0], [3, -1, 2], [1, 1, 4]]), np.array([2.0, -1, 4])
    return [([x, b], {}), ([x, x.T + 2], {})]


# ---- add, sub --------------------------------------------------------------------------------


def add_forward(input, other):
    """x + y."""
    return input + other


def add_backward(g, input, other):
    """g for both, summed where they were stretched."""
    return unbroadcast(g, input.shape), unbroadcast(g, other.shape)


add = Operation("add", ("input", "other"), add_forward, add_backward, sample, examples)


@add.mutant("GB076", "g as it is", sample=row)
def _(g, input, other):
    return g, g


@add.mutant("GB077", "the mean over the batch", sample=row)
def _(g, input, other):
    return g, g.mean(axis=0)


@add.mutant("GB078", "summed over axis 1", sample=square_row)
def _(g, input, other):
    return g, g.sum(axis=1)


def sub_forward(input, other):
    """x - y."""
    return input - other


def sub_backward(g, input, other):
    """g and -g, summed where they were stretched."""
    return unbroadcast(g, input.shape), -unbroadcast(g, other.shape)


sub = Operation("sub", ("input", "other"), sub_forward, sub_backward, sample, examples)


@sub.mutant("GB002", "no minus for the second")
def _(g, input, other):
    return unbroadcast(g, input.shape), unbroadcast(g, other.shape)


@sub.mutant("GB076", "g as it is", sample=row)
def _(g, input, other):
    return g, -g


@sub.mutant("GB077", "the mean over the batch", sample=row)
def _(g, input, other):
    return g, -g.mean(axis=0)


@sub.mutant("GB078", "summed over axis 1", sample=square_row)
def _(g, input, other):
    return g, -g.sum(axis=1)


# ---- mul, div --------------------------------------------------------------------------------


def mul_forward(input, other):
    """x y."""
    return input * other


def mul_backward(g, input, other):
    """g y and g x, summed where they were stretched."""
    return unbroadcast(g * other, input.shape), unbroadcast(g * input, other.shape)


mul = Operation("mul", ("input", "other"), mul_forward, mul_backward, sample, examples)


@mul.mutant("GB079", "operands not swapped", sample=alike)
def _(g, input, other):
    return g * input, g * other


@mul.mutant("GB079", "operands not swapped, broadcast", sample=row)
def _(g, input, other):
    return g * input, (g * other).sum(axis=0)


@mul.mutant("GB001", "ignores g", sample=alike)
def _(g, input, other):
    return other.copy(), input.copy()


@mul.mutant("GB009", "multiplies g in place", sample=alike)
def _(g, input, other):
    dy = g * input
    g *= other
    return g, dy


@mul.mutant("GB076", "not summed", sample=row)
def _(g, input, other):
    return g * other, g * input


@mul.mutant("GB077", "the mean over the batch", sample=row)
def _(g, input, other):
    return g * other, (g * input).mean(axis=0)


@mul.mutant("GB078", "summed over axis 1", sample=square_row)
def _(g, input, other):
    return g * other, (g * input).sum(axis=1)


def div_forward(input, other):
    """x / y."""
    return input / other


def div_backward(g, input, other):
    """g / y and -g x / y^2, summed where they were stretched."""
    dx, dy = g / other, -g * input / other**2
    return unbroadcast(dx, input.shape), unbroadcast(dy, other.shape)


div = Operation("div", ("input", "other"), div_forward, div_backward, sample, examples)


@div.mutant("GB002", "no minus for the divisor")
def _(g, input, other):
    dx, dy = g / other, g * input / other**2
    return unbroadcast(dx, input.shape), unbroadcast(dy, other.shape)


@div.mutant("GB076", "not summed", sample=row)
def _(g, input, other):
    return g / other, -g * input / other**2


@div.mutant("GB077", "the mean over the batch", sample=row)
def _(g, input, other):
    return g / other, (-g * input / other**2).mean(axis=0)


@div.mutant("GB078", "summed over axis 1", sample=square_row)
def _(g, input, other):
    return g / other, (-g * input / other**2).sum(axis=1)


OPERATIONS = (add, sub, mul, div)
