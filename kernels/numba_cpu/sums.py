"""Sums of many numbers, in vectors: the one place where additions are taken out of order.

x   | 4096 numbers | 4096 numbers | ...      each block in its own type, in vectors
       sum     +      sum      + ...         the blocks' sums in float64, so that errors
                                             do not grow with the length
"""

from numba import njit

from .compiling import OPTIONS, inner

BLOCK = 4096

# LLVM may regroup the additions, once, when it compiles: the same bits on every run.
regrouping = njit(
    **{**OPTIONS, "fastmath": {"contract", "reassoc"}},
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)


@regrouping
def _total(x):
    found = x.dtype.type(0)
    for i in range(x.size):
        found += x[i]
    return found


@regrouping
def _total_of_products(x, y):
    found = x.dtype.type(0)
    for i in range(x.size):
        found += x[i] * y[i]
    return found


@regrouping
def _total_of_squares(x, centre):
    found = x.dtype.type(0)
    for i in range(x.size):
        found += (x[i] - centre) * (x[i] - centre)
    return found


@inner
def total(x):
    """The sum of a 1-dim array."""
    found = 0.0
    for i in range(0, x.size, BLOCK):
        found += _total(x[i : i + BLOCK])
    return x.dtype.type(found)


@inner
def total_of_products(x, y):
    """The sum of x * y, of 1-dim arrays."""
    found = 0.0
    for i in range(0, x.size, BLOCK):
        found += _total_of_products(x[i : i + BLOCK], y[i : i + BLOCK])
    return x.dtype.type(found)


@inner
def total_of_squares(x, centre):
    """The sum of (x - centre)^2, of a 1-dim array."""
    found = 0.0
    for i in range(0, x.size, BLOCK):
        found += _total_of_squares(x[i : i + BLOCK], centre)
    return x.dtype.type(found)
