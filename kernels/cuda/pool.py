"""Pooling: average, maximum, and LeNet's trainable subsampling."""

from functools import cache
from typing import Any

import numpy as np

from minicnn.arrays import Array
from minicnn.kernels.cuda.launch import THREADS, contiguous, empty, grid_of, launch, window_of
from minicnn.kernels.cuda.layer import Layer
from minicnn.kernels.cuda.sums import channel_sums
from minicnn.kernels.reference import Gradients, Needs, Saved
from minicnn.shapes import Shape, Window

_AVERAGE = np.dtype([("count_padding", np.int32), ("divisor", np.float64)], align=True)


def _pool(kernel: str, like: Array, n: int, *args: Any) -> None:
    """One thread for each of n numbers."""
    launch("pool", kernel, like.dtype, grid_of(n), THREADS, *args, n)


def _pooled(x: Array, window: Window, dtype: Any = None) -> Array:
    return empty((*x.shape[:2], *window.out), x, dtype)


# ---- average -----------------------------------------------------------------------------------


@cache
def _average(count_include_pad: bool, divisor_override: Any) -> np.ndarray:
    """The struct of pool.cu."""
    return np.array([(count_include_pad, divisor_override or 0)], _AVERAGE)


class AvgPool2d(Layer, kernel="avg_pool2d"):
    """The mean of each window."""

    def forward(self, x, weights, wanted):
        window, *how = self.arguments
        y = _pooled(x, window)
        _pool("avg_pool2d", x, y.size, x, y, window_of(window), _average(*how), *x.shape[2:])
        return y, ()

    def backward(self, g, kept, needs):
        window, *how = self.arguments
        dx = empty(self.x_shape, g)
        args = g, dx, window_of(window), _average(*how), *self.x_shape[2:]
        _pool("avg_pool2d_backward", g, dx.size, *args)
        return (dx,)


# ---- maximum -----------------------------------------------------------------------------------


def _maxima(x: Array, window: Window, places: Array | None) -> tuple[Array, Array]:
    """(the maxima, where in its window each was); fills in where in its plane, if that is given."""
    y, which = _pooled(x, window), _pooled(x, window, np.int32)
    _pool("max_pool2d", x, y.size, x, y, which, places, window_of(window), *x.shape[2:])
    return y, which


def _to_maxima(g: Array, which: Array, x_shape: Shape, window: Window) -> Array:
    """dx: each window's g where its maximum was."""
    dx = empty(x_shape, g)
    _pool("max_pool2d_backward", g, dx.size, g, which, dx, window_of(window), *x_shape[2:])
    return dx


class MaxPool2d(Layer, kernel="max_pool2d"):
    """The maximum of each window."""

    def forward(self, x, weights, wanted):
        (window,) = self.arguments
        y, which = _maxima(x, window, None)
        return y, (which,)

    def backward(self, g, kept, needs):
        (which,), (window,) = kept, self.arguments
        return (_to_maxima(g, which, self.x_shape, window),)


def max_pool2d_with_indices(x: Array, window: Window) -> tuple[tuple[Array, Array], Saved]:
    """As in the reference."""
    x, places = contiguous(x), _pooled(x, window, np.int64)
    y, which = _maxima(x, window, places)
    return (y, places), Saved(which, x.shape, window)


def max_pool2d_with_indices_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    return (_to_maxima(contiguous(g), *saved.state),)


# ---- trainable subsampling ---------------------------------------------------------------------


class Subsample2d(Layer, kernel="subsample2d"):
    """A coefficient times the sum of each window, plus a bias, of each channel."""

    weights = 2

    def forward(self, x, weights, wanted):
        (window,), (coefficient, bias) = self.arguments, weights
        sums, y = _pooled(x, window), _pooled(x, window)
        args = x, coefficient, bias, sums, y, window_of(window), *x.shape[1:]
        _pool("subsample2d", x, y.size, *args)
        return y, (sums, coefficient)

    def backward(self, g, kept, needs):
        (window,), (sums, coefficient) = self.arguments, kept
        dx = dcoefficient = dbias = None
        if needs[0]:
            dx = empty(self.x_shape, g)
            args = g, coefficient, dx, window_of(window), *self.x_shape[1:]
            _pool("subsample2d_backward", g, dx.size, *args)
        if needs[1] or needs[2]:
            dbias, dcoefficient = channel_sums(g, sums)
        return dx, dcoefficient if needs[1] else None, dbias if needs[2] else None
