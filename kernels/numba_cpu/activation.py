"""Activations on flat memory: each number by itself, in whatever order the array's memory has.

    x, logical (N, C, H, W)      memory (C, H, W, N)      y as x
                                 | x0 x1 x2 x3 .. |   ->  | y0 y1 y2 y3 .. |

A gradient that lies in another order than y is brought to y's first.  Where a derivative can be
written in y, x need not be kept.
"""

import math

import numpy as np

from minicnn.kernels.numba_cpu.compiling import FLOAT, INT, array, entry, given, inner, named_inner
from minicnn.kernels.numba_cpu.layer import Layer
from minicnn.kernels.numba_cpu.maths import exp
from minicnn.kernels.numba_cpu.maths import tanh as tanh_of
from minicnn.kernels.numba_cpu.parallel import parallel, share_numbers
from minicnn.kernels.numba_cpu.simd import at, pointer

GRAIN = 60_000  # numbers per thread


def flat(x):
    """(x, its memory as one axis) if x is dense, aligned and writable, else those of a copy."""
    memory = x.ravel("K")  # in the order of memory; a copy if x has gaps
    if memory.flags.owndata or not memory.flags.carray:
        x = x.copy()
        memory = x.ravel("K")
    return x, memory


def like(g, y):
    """The memory of the gradient g as one axis, in the order of y's."""
    same = g.strides == y.strides or (g.flags.c_contiguous and y.flags.c_contiguous)
    if not (same and g.flags.aligned):
        g, moved = np.empty_like(y), g
        g[...] = moved
    return g.ravel("K")


def _each(function):
    """A body for `parallel`: y = function(x, numbers), number by number."""
    of_one = inner(function)

    def body(thread, threads, x, y, numbers):
        first, last = share_numbers(thread, threads, x.size)
        x, y = at(pointer(x), first), at(pointer(y), first)
        for i in range(last - first):
            y[i] = of_one(x[i], numbers)

    return named_inner(body, function)


def _each_backward(function):
    """A body for `parallel`: dx = function(g, y, numbers), number by number."""
    of_one = inner(function)

    def body(thread, threads, g, y, dx, numbers):
        first, last = share_numbers(thread, threads, y.size)
        g, y, dx = at(pointer(g), first), at(pointer(y), first), at(pointer(dx), first)
        for i in range(last - first):
            dx[i] = of_one(g[i], y[i], numbers)

    return named_inner(body, function)


def _types(t):
    return array(t, 1), array(t, 1)


def _backward_types(t):
    return given(t, 1), array(t, 1), array(t, 1)


# ---- sigmoid ---------------------------------------------------------------------------------


@_each
def _sigmoid_of(x, numbers):
    one = type(x)(1)
    return one / (one + exp(-x))


@_each_backward
def _sigmoid_slope(g, y, numbers):
    return g * y * (type(y)(1) - y)


@entry(lambda t: (*_types(t), INT))
def _sigmoid(x, y, threads):
    parallel(threads, _sigmoid_of, (x, y, ()))


@entry(lambda t: (*_backward_types(t), INT))
def _sigmoid_backward(g, y, dx, threads):
    parallel(threads, _sigmoid_slope, (g, y, dx, ()))


# ---- hyperbolic tangents ---------------------------------------------------------------------


@_each
def _tanh_of(x, numbers):
    return tanh_of(x)


@_each_backward
def _tanh_slope(g, y, numbers):
    return g * (type(y)(1) - y * y)


@entry(lambda t: (*_types(t), INT))
def _tanh(x, y, threads):
    parallel(threads, _tanh_of, (x, y, ()))


@entry(lambda t: (*_backward_types(t), INT))
def _tanh_backward(g, y, dx, threads):
    parallel(threads, _tanh_slope, (g, y, dx, ()))


@_each
def _scaled_tanh_of(x, numbers):
    amplitude, slope = type(x)(numbers[0]), type(x)(numbers[1])
    return amplitude * tanh_of(slope * x)


@_each_backward
def _scaled_tanh_slope(g, y, numbers):
    amplitude, slope = type(y)(numbers[0]), type(y)(numbers[1])
    return g * (slope / amplitude) * (amplitude - y) * (amplitude + y)


@entry(lambda t: (*_types(t), FLOAT, FLOAT, INT))
def _scaled_tanh(x, y, amplitude, slope, threads):
    parallel(threads, _scaled_tanh_of, (x, y, (amplitude, slope)))


@entry(lambda t: (*_backward_types(t), FLOAT, FLOAT, INT))
def _scaled_tanh_backward(g, y, dx, amplitude, slope, threads):
    parallel(threads, _scaled_tanh_slope, (g, y, dx, (amplitude, slope)))


# ---- rectifier -------------------------------------------------------------------------------


@_each
def _relu_of(x, numbers):
    zero = type(x)(0)
    return zero if x < zero else x  # NaN stays


@_each_backward
def _relu_slope(g, y, numbers):
    zero = type(y)(0)
    return g if y != zero else zero


@entry(lambda t: (*_types(t), INT))
def _relu(x, y, threads):
    parallel(threads, _relu_of, (x, y, ()))


@entry(lambda t: (*_backward_types(t), INT))
def _relu_backward(g, y, dx, threads):
    parallel(threads, _relu_slope, (g, y, dx, ()))


# ---- the layer -------------------------------------------------------------------------------


class Activation(Layer):
    """The calls of an activation; subclasses name its entries, and what its derivative reads."""

    keeps_output = True  # the derivative is written in y; one in x sets keeps_input instead
    entries: tuple = ()  # forward and backward

    def _threads(self, plan, x):
        return plan.threads_for(math.prod(x.shape), GRAIN)

    def forward(self, plan, x, keep):
        y = plan.output(x.shape, keep)
        self.kept = (y if self.keeps_output else x).flat()
        plan.call(self.entries[0], x.flat(), y.flat(), *self.args, self._threads(plan, x))
        return y

    def backward(self, plan, g, dx_wanted):
        dx = plan.output(g.shape)
        places = g.flat(), self.kept, dx.flat()
        plan.call(self.entries[1], *places, *self.args, self._threads(plan, g))
        return dx


class Sigmoid(Activation, kernel="sigmoid"):
    entries = _sigmoid, _sigmoid_backward


class Tanh(Activation, kernel="tanh"):
    entries = _tanh, _tanh_backward


class ScaledTanh(Activation, kernel="scaled_tanh"):
    entries = _scaled_tanh, _scaled_tanh_backward


class ReLU(Activation, kernel="relu"):
    entries = _relu, _relu_backward
