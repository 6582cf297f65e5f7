"""Windows to columns and back: im2col and col2im."""

import math

from minicnn.arrays import Array
from minicnn.kernels.cuda.launch import THREADS, contiguous, empty, grid_of, launch, window_of
from minicnn.shapes import Shape, Window

MAX_ROWS = 1024  # of a grid, across the channels


def im2col(x: Array, window: Window) -> Array:
    """As in the reference: (N, C*kh*kw, oh*ow), for each image a matrix."""
    rows, places = x.shape[1] * math.prod(window.kernel_size), math.prod(window.out)
    return _im2col(x, empty((len(x), rows, places), x), window, rows * places, places)


def images_to_columns(x: Array, window: Window) -> Array:
    """(N, C, H, W) -> (C*kh*kw, N*oh*ow): the images' matrices side by side in one."""
    rows, places = x.shape[1] * math.prod(window.kernel_size), math.prod(window.out)
    return _im2col(x, empty((rows, len(x) * places), x), window, places, len(x) * places)


def col2im(cols: Array, x_shape: Shape, window: Window) -> Array:
    """As in the reference."""
    _, rows, places = cols.shape
    return _col2im(contiguous(cols), empty(x_shape, cols), window, rows * places, places)


def columns_to_images(cols: Array, x: Array, window: Window) -> None:
    """Fills x (N, C, H, W), the adjoint of images_to_columns; cols may have an axis of groups."""
    _col2im(cols, x, window, math.prod(window.out), cols.shape[-1])


def _im2col(x: Array, cols: Array, window: Window, image_step: int, row_step: int) -> Array:
    if cols.size:
        grid = grid_of(len(x) * math.prod(window.out)), min(x.shape[1], MAX_ROWS)
        args = contiguous(x), cols, window_of(window), *x.shape, image_step, row_step
        launch("window", "im2col", x.dtype, grid, THREADS, *args)
    return cols


def _col2im(cols: Array, x: Array, window: Window, image_step: int, row_step: int) -> Array:
    if x.size:
        args = cols, x, window_of(window), *x.shape, image_step, row_step
        launch("window", "col2im", x.dtype, grid_of(x.size), THREADS, *args)
    return x
