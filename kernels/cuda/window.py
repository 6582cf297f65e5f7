"""Windows to columns and back: im2col and col2im."""

from minicnn.arrays import Array
from minicnn.kernels.cuda.launch import THREADS, contiguous, empty, grid_of, launch, window_of
from minicnn.shapes import Shape, Window

MAX_ROWS = 1024  # of a grid, across the channels


def im2col(x: Array, window: Window) -> Array:
    """As in the reference: the columns of one window, one from each image, are adjacent."""
    return _im2col(x, window, 1, x.shape[0])


def images_to_columns(x: Array, window: Window) -> Array:
    """(N, C, H, W) -> (C*kh*kw, N*oh*ow): the columns of one image are adjacent."""
    return _im2col(x, window, window.out[0] * window.out[1], 1)


def col2im(cols: Array, x_shape: Shape, window: Window) -> Array:
    """As in the reference."""
    return _col2im(contiguous(cols), empty(x_shape, cols), window, 1, x_shape[0])


def columns_to_images(cols: Array, x: Array, window: Window) -> None:
    """Fills x (N, C, H, W), the adjoint of images_to_columns."""
    _col2im(cols, x, window, window.out[0] * window.out[1], 1)


def _im2col(x: Array, window: Window, image_step: int, place_step: int) -> Array:
    x, (n, c) = contiguous(x), x.shape[:2]
    (kh, kw), (oh, ow) = window.kernel_size, window.out
    cols = empty((c * kh * kw, oh * ow * n), x)
    grid = grid_of(n * oh * ow), min(c, MAX_ROWS)
    where = *x.shape, image_step, place_step
    launch("window", "im2col", x.dtype, grid, THREADS, x, cols, window_of(window), *where)
    return cols


def _col2im(cols: Array, x: Array, window: Window, image_step: int, place_step: int) -> Array:
    args = cols, x, window_of(window), *x.shape, image_step, place_step
    launch("window", "col2im", x.dtype, grid_of(x.size), THREADS, *args)
    return x
