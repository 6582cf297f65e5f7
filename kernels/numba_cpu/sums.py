"""Sums of many numbers, in vectors: the one place where additions are taken out of order.

x   | 4096 numbers | 4096 numbers | ...      each block in its own type, in vectors
       sum     +      sum      + ...         the blocks' sums in float64, so that errors
                                             do not grow with the length
"""

from numba import njit

from minicnn.kernels.numba_cpu.compiling import OPTIONS, inner

BLOCK = 4096

# LLVM may regroup the additions, once, when it compiles: the same bits on every run.
regrouping = njit(
    **{**OPTIONS, "fastmath": {"contract", "reassoc"}},
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)


@regrouping
def _total(x):
    result = x.dtype.type(0)
    for i in range(x.size):
        result += x[i]
    return result


@regrouping
def _total_of_products(x, y):
    result = x.dtype.type(0)
    for i in range(x.size):
        result += x[i] * y[i]
    return result


@regrouping
def _total_of_squares(x, centre):
    result = x.dtype.type(0)
    for i in range(x.size):
        result += (x[i] - centre) * (x[i] - centre)
    return result


@inner
def total(x):
    """The sum of a 1-dim array."""
    result = 0.0
    for i in range(0, x.size, BLOCK):
        result += _total(x[i : i + BLOCK])
    return x.dtype.type(result)


@inner
def total_of_products(x, y):
    """The sum of x * y, of 1-dim arrays."""
    result = 0.0
    for i in range(0, x.size, BLOCK):
        result += _total_of_products(x[i : i + BLOCK], y[i : i + BLOCK])
    return x.dtype.type(result)


@inner
def total_of_squares(x, centre):
    """The sum of (x - centre)^2, of a 1-dim array."""
    result = 0.0
    for i in range(0, x.size, BLOCK):
        result += _total_of_squares(x[i : i + BLOCK], centre)
    return x.dtype.type(result)
