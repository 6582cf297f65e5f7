"""Convolution by columns and matrix products, for layers with much to do and many channels.

    x (n, C, H, W) --im2col--> columns (C*kh*kw, n*oh*ow)
                     weight (O, C*kh*kw) @ columns = (O, n*oh*ow) --bias, f--> y (n, O, oh, ow)

The columns of as many images as have room are made at a time, and made again for backward instead
of being kept.  With c numbers in the columns and y in the result, memory moves about 2c + 3y
numbers forward and 4c + 4y backward, for O and 2 O multiply-adds to each of the c: in AlexNet's
second layer at batch 128, c = 224e6, y = 24e6 and O = 256.  Few channels leave the columns too
little to do: conv.cu takes LeNet's layers at any batch, so that they can be captured in graphs.
"""

import math

import numpy as np

from minicnn.arrays import Array
from minicnn.kernels.cuda.activation import IDENTITY
from minicnn.kernels.cuda.gemm import add_up, product
from minicnn.kernels.cuda.launch import THREADS, empty, grid_of, launch
from minicnn.kernels.cuda.sums import channel_sums
from minicnn.kernels.cuda.window import MAX_ROWS, columns_to_images, images_to_columns
from minicnn.kernels.reference import Gradients, Needs
from minicnn.shapes import Window

LIMIT = 2**27  # numbers in the columns: half a gigabyte of float32


def columns_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    f: np.ndarray,
    window: Window,
    groups: int,
) -> Array:
    """f(the convolution + bias) as (N, O, oh, ow); f is an Activation as a struct."""
    rows = _by_group(weight, groups)
    y, places = empty((len(x), len(weight), *window.out), x), math.prod(window.out)
    for some in _chunks(x, window):
        z = product(rows, _by_group(images_to_columns(x[some], window), groups))
        _swap_outer(z, y[some], len(weight), places, bias, f)
    return y


def columns_backward(
    gz: Array, x: Array, weight: Array, window: Window, groups: int, needs: Needs
) -> Gradients:
    """dx, dW and db, those that `needs` names; gz is the gradient before the activation."""
    rows = _by_group(weight, groups)
    chunks = _chunks(x, window) if needs[0] or needs[1] else []
    dx = empty(x.shape, x) if needs[0] else None
    dws = empty((len(chunks), *rows.shape), x) if needs[1] else None  # one from each chunk
    places = math.prod(window.out)
    for k, some in enumerate(chunks):
        g = empty((len(weight), places * len(x[some])), gz)
        _swap_outer(gz[some], g, len(x[some]), places)
        g = _by_group(g, groups)
        if dx is not None:
            columns_to_images(product(rows, g, transpose_a=True), dx[some], window)
        if dws is not None:
            cols = _by_group(images_to_columns(x[some], window), groups)
            product(g, cols, transpose_b=True, out=dws[k])
    dw = None if dws is None else add_up(dws).reshape(weight.shape)
    return dx, dw, (channel_sums(gz)[0] if needs[2] else None)


def _by_group(a: Array, groups: int) -> Array:
    """A matrix, or a weight (O, C/groups, kh, kw), as one matrix for each group."""
    return a.reshape(groups, len(a) // groups, math.prod(a.shape[1:]))


def _chunks(x: Array, window: Window) -> list[slice]:
    """The batch in as few equal parts as have room for their columns; at least one."""
    n, image = len(x), x.shape[1] * math.prod(window.kernel_size) * math.prod(window.out)
    count = max(-(-n // max(LIMIT // max(image, 1), 1)), 1)
    return [slice(n * k // count, n * (k + 1) // count) for k in range(count)]


def _swap_outer(
    a: Array,
    y: Array,
    outer: int,
    places: int,
    bias: Array | None = None,
    f: np.ndarray = IDENTITY,
) -> None:
    """Fills y (inner, outer, places) with f(a + bias), a being (outer, inner, places)."""
    if y.size:
        row = y.size // outer
        grid = grid_of(row), min(outer, MAX_ROWS)
        args = a, y, outer, row // places, places, bias, f
        launch("columns", "swap_outer", y.dtype, grid, THREADS, *args)
