"""Dropout, by the same counters as in the reference."""

import math
from typing import Any

from minicnn.arrays import Array, is_array
from minicnn.kernels.cuda.launch import THREADS, contiguous, empty, grid_of, launch
from minicnn.kernels.reference import Gradients, Needs, Saved


def dropout(x: Array, p: float, seed: Any, offset: int) -> tuple[Array, Saved]:
    """As in the reference; keeps no mask for backward, but what it is made from.

    While a graph is captured, seed may be a slot of recording.py with two words, seed and offset.
    """
    how = (*((0, 0, seed) if is_array(seed) else (seed, offset, None)),)
    how += (math.ceil(p * 2.0**32), 1 / (1 - p) if p < 1 else 0.0)
    return _masked(x, how), Saved(how)


def dropout_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    return (_masked(g, *saved.state),)


def _masked(x: Array, how: tuple) -> Array:
    x = contiguous(x)
    y = empty(x.shape, x)
    grid = grid_of(-(-x.size // 4))
    launch("dropout", "dropout", x.dtype, grid, THREADS, x, y, *how, x.size)
    return y
