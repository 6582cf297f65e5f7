"""Pooling: average, maximum, and LeNet's trainable subsampling."""

from functools import cache
from typing import Any

import numpy as np

from ...arrays import Array
from ...shapes import Shape, Window
from ..reference import Gradients, Needs, Saved
from .launch import THREADS, contiguous, empty, grid_of, launch, window_of
from .sums import channel_sums

_AVERAGE = np.dtype([("count_padding", np.int32), ("divisor", np.float64)], align=True)


def _pool(kernel: str, like: Array, n: int, *args: Any) -> None:
    """One thread for each of n numbers."""
    if n:
        launch("pool", kernel, like.dtype, grid_of(n), THREADS, *args, n)


def _pooled(x: Array, window: Window, dtype: Any = None) -> Array:
    return empty((*x.shape[:2], *window.out), x, dtype)


# ---- average -----------------------------------------------------------------------------------


@cache
def _average(count_include_pad: bool, divisor_override: Any) -> np.ndarray:
    """The struct of pool.cu."""
    return np.array([(count_include_pad, divisor_override or 0)], _AVERAGE)


def avg_pool2d(x, window: Window, count_include_pad, divisor_override) -> tuple[Array, Saved]:
    """As in the reference."""
    x, y = contiguous(x), _pooled(x, window)
    how = _average(bool(count_include_pad), divisor_override)
    _pool("avg_pool2d", x, y.size, x, y, window_of(window), how, *x.shape[2:])
    return y, Saved(x.shape, window, how)


def avg_pool2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    x_shape, window, how = saved.state
    g, dx = contiguous(g), empty(x_shape, g)
    _pool("avg_pool2d_backward", g, dx.size, g, dx, window_of(window), how, *x_shape[2:])
    return (dx,)


# ---- maximum -----------------------------------------------------------------------------------


def max_pool2d(x, window: Window, indices: bool = True) -> tuple[Any, Saved]:
    """As in the reference."""
    x, y, which = contiguous(x), _pooled(x, window), _pooled(x, window, np.int32)
    places = _pooled(x, window, np.int64) if indices else None
    _pool("max_pool2d", x, y.size, x, y, which, places, window_of(window), *x.shape[2:])
    return (y, places), Saved(which, x.shape, window)


def max_pool2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    which, x_shape, window = saved.state
    g, dx = contiguous(g), empty(x_shape, g)
    _pool("max_pool2d_backward", g, dx.size, g, which, dx, window_of(window), *x_shape[2:])
    return (dx,)


# ---- trainable subsampling ---------------------------------------------------------------------


def subsample2d(x, coefficient, bias, window: Window) -> tuple[Array, Saved]:
    """As in the reference."""
    x, sums, y, factor = (
        contiguous(x),
        _pooled(x, window),
        _pooled(x, window),
        contiguous(coefficient),
    )
    _pool(
        "subsample2d", x, y.size,
        x, factor, contiguous(bias), sums, y, window_of(window), *x.shape[1:],
    )  # fmt: skip
    return y, Saved(sums, factor, x.shape, window, inputs=(coefficient,))


def subsample2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    sums, factor, x_shape, window = saved.state
    g = contiguous(g)
    dx = dcoefficient = dbias = None
    if needs[0]:
        dx = _spread(g, factor, x_shape, window)
    if needs[1] or needs[2]:
        totals = channel_sums(g, sums)
        dbias, dcoefficient = totals[0], totals[1]
    return dx, dcoefficient if needs[1] else None, dbias if needs[2] else None


def _spread(g: Array, factor: Array, x_shape: Shape, window: Window) -> Array:
    """The sum of factor_c g over the windows that cover each pixel."""
    dx = empty(x_shape, g)
    _pool("subsample2d_backward", g, dx.size, g, factor, dx, window_of(window), *x_shape[1:])
    return dx
