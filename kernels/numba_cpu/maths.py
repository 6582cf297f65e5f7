"""exp and tanh that LLVM can vectorise: polynomials for float32, the C library's for float64.

With x = n ln 2 + r, |r| <= ln 2 / 2:

    e^x      = 2^n (1 + q)           where q = r + r^2 P(r) is e^r - 1
    e^x - 1  = 2^n q + (2^n - 1)     which loses nothing where x is small, as n is 0 there

and tanh x = t / (t + 2) with t = e^2x - 1.  Source of P: Moshier, Cephes, expf.c.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from minicnn.kernels.numba_cpu.compiling import OPTIONS, inner

P0, P1, P2, P3, P4, P5 = (
    np.float32(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
              5.0000001201e-1)
)  # fmt: skip
LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # n LN2_HIGH is exact
ROUND = np.float32(1.5 * 2**23)  # a number so large that adding it rounds to an integer
ROUND_BITS, BIAS, MANTISSA = np.int32(ROUND.view(np.int32)), np.int32(127), np.int32(23)
EXP_LOW, EXP_HIGH = np.float32(-87.3), np.float32(89)  # where e^x is 0 and infinite
TANH_LIMIT = np.float32(10)  # beyond it tanh is 1
ONE, TWO = np.float32(1), np.float32(2)


@inner
def _clamp(x, low, high):
    """x between low and high; NaN stays."""
    x = low if x < low else x
    return high if x > high else x


@inner
def _parts(x):
    """(n + ROUND, q) of the float32 x."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = ((((P0 * r + P1) * r + P2) * r + P3) * r + P4) * r + P5
    return shifted, p * (r * r) + r


@inner
def _power(shifted, more):
    """2^(n + more), from n + ROUND."""
    n = np.int32(np.float32(shifted).view(np.int32) - ROUND_BITS)
    return np.int32((n + more + BIAS) << MANTISSA).view(np.float32)


@inner
def _exp32(x):
    """e^x to 1 ulp or so, infinite above 88.7 and 0 below -87."""
    shifted, q = _parts(_clamp(x, EXP_LOW, EXP_HIGH))
    half = _power(shifted, np.int32(-1))  # 2^128 would be infinite
    return (q * half + half) * TWO


@inner
def _tanh32(x):
    x = _clamp(x, -TANH_LIMIT, TANH_LIMIT)
    shifted, q = _parts(x + x)
    power = _power(shifted, np.int32(0))
    t = q * power + (power - ONE)
    return t / (t + TWO)


def exp(x):
    """e^x, in kernels."""
    raise NotImplementedError("exp: for compiled code only; see _exp")


def tanh(x):
    """The hyperbolic tangent, in kernels."""
    raise NotImplementedError("tanh: for compiled code only; see _tanh")


@overload(exp, jit_options=OPTIONS)
def _exp(x):
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: math.exp(x))


@overload(tanh, jit_options=OPTIONS)
def _tanh(x):
    return (lambda x: _tanh32(x)) if x == types.float32 else (lambda x: math.tanh(x))
