"""Broadcasting arithmetic, and the mistakes in its backward passes; those of reshape, sum and pad.

The operations that only move or add up elements are in layout.py.
"""

import numpy as np

from ...arrays import sum_to
from .operation import Bug, Mutant, Operation, normal, one_of

BUGS = (
    Bug("GB076", "not summed over the broadcast axes",
        "return g, g", "return g, g.sum(axis=0)      # other was (C,)",
        "a has the output's shape, not the input's",
        "One number was used many times: its gradient is the sum over all uses. Sum over every "
        "axis along which the input was stretched."),
    Bug("GB077", "mean instead of sum",
        "db = g.mean(axis=0)", "db = g.sum(axis=0)",
        "r = 1/(length of the broadcast axes) in every entry",
        "Broadcasting uses a number several times, and gradients of several uses add up."),
    Bug("GB078", "summed over the wrong axes",
        "db = g.sum(axis=1)", "db = g.sum(axis=0)",
        "needs N = C to run: a has the sums of the rows, n those of the columns",
        "Broadcasting aligns shapes at the right end: (C,) with (N, C) is stretched along axis 0."),
    Bug("GB079", "product uses its own operand",
        "return g * x, g * y", "return g * y, g * x      # z = x * y",
        "a/g is the input itself instead of the other operand",
        "The derivative of x y with respect to x is y: swap them."),
    Bug("GB080", "permutation not inverted",
        "dx = g.transpose(axes)", "dx = g.transpose(np.argsort(axes))",
        "the right numbers at the wrong places; a shape error unless sizes agree",
        "To undo a permutation of axes use the inverse one, argsort(axes); they are the same only "
        "where two axes changed places."),
    Bug("GB081", "reshape order, or .T for reshape",
        "dx = g.T", "dx = g.reshape(x.shape)",
        "the right numbers at the wrong places: sorted(a) = sorted(n)",
        "reshape keeps the order in memory and transpose changes it: undo each with its own kind."),
)  # fmt: skip


# ---- samples ---------------------------------------------------------------------------------


def draw(*shapes, **how):
    """Two arrays; the second has no values near 0, so that it can divide."""

    def drawn(rng):
        (x, y), params = normal(*shapes, **how)(rng)
        return [x, np.sign(y) * (0.5 + rng.random(y.shape))], params

    return drawn


alike, row, column = draw("nc", "nc"), draw("nc", "c"), draw("nc", "n1")
square_row = draw("cc", "c", sizes=(3, 4))
sample = one_of(alike, row, row, column)
X, B = np.array([[1.0, 2, 0], [3, -1, 2], [1, 1, 4]]), np.array([2.0, -1, 4])
EXAMPLES: list = [([X, B], {}), ([X, X.T + 2], {})]


# ---- add, sub, mul, div ----------------------------------------------------------------------


def operation(name, forward, dx, dy, unsummed="not summed"):
    """An operation of two operands, and what goes wrong where the second was stretched.

    dx and dy say what each position sends back to them.
    """
    gradients = {
        "dx": lambda g, x, y: sum_to(dx(g, x, y), x.shape),
        "dy": lambda g, x, y: sum_to(dy(g, x, y), y.shape),
    }
    op = Operation(name, ("input", "other"), forward, gradients, sample, EXAMPLES)
    op.wrong("GB076", unsummed, sample=row, dx=dx, dy=dy)
    op.wrong(
        "GB077", "the mean over the batch", sample=row,
        dx=dx, dy=lambda g, x, y: dy(g, x, y).mean(axis=0),
    )  # fmt: skip
    op.wrong(
        "GB078", "summed over axis 1", sample=square_row,
        dx=dx, dy=lambda g, x, y: dy(g, x, y).sum(axis=1),
    )  # fmt: skip
    return op


def g_itself(g, x, y):
    return g


def times_x(g, x, y):
    return g * x


def times_y(g, x, y):
    return g * y


def in_place(g, x, y):
    """A whole backward pass."""
    dy = g * x
    g *= y
    return g, dy


add = operation("add", lambda input, other: input + other, g_itself, g_itself, "g as it is")
sub = operation(
    "sub", lambda input, other: input - other, g_itself, lambda g, x, y: -g, "g as it is"
)
mul = operation("mul", lambda input, other: input * other, times_y, times_x)
div = operation(
    "div", lambda input, other: input / other,
    lambda g, x, y: g / y, lambda g, x, y: -g * x / y**2,
)  # fmt: skip

sub.wrong("GB002", "no minus for the second", dy=add.gradients["dy"])
mul.wrong("GB079", "operands not swapped", sample=alike, dx=times_x, dy=times_y)
mul.wrong(
    "GB079", "operands not swapped, broadcast", sample=row,
    dx=times_x, dy=lambda g, x, y: (g * y).sum(axis=0),
)  # fmt: skip
mul.wrong(
    "GB001", "ignores g", sample=alike,
    dx=lambda g, x, y: y.copy(), dy=lambda g, x, y: x.copy(),
)  # fmt: skip
mul.mutants += (Mutant("GB009", "multiplies g in place", in_place, sample=alike),)
div.wrong("GB002", "no minus for the divisor", dy=lambda g, x, y: sum_to(g * x / y**2, y.shape))

OPERATIONS = (add, sub, mul, div)
