"""Windows to columns and back, on images in C order; to both, a batch is N*C planes.

A row of a plane's columns is one element of the window, (u, v), for all windows: the plane itself,
moved by that element's place, with 0 where the padding is.

      a plane             its columns, of a 2 x 2 window
      a b c               (0, 0)  a b d e
      d e f               (0, 1)  b c e f
      g h i               (1, 0)  d e g h
                          (1, 1)  e f h i

The way back adds each row of the columns where im2col took it from.
"""

import math

import numpy as np

from minicnn.kernels.numba_cpu.compiling import INT, array, entry, inner
from minicnn.kernels.numba_cpu.layout import ordered
from minicnn.kernels.numba_cpu.parallel import parallel, share
from minicnn.kernels.numba_cpu.simd import at, pointer
from minicnn.kernels.threads import threads_for

GRAIN = 100_000  # numbers of the columns per thread


@inner
def _inside(shift, stride, size, out):
    """The first window, and the one behind the last, whose element at `shift` is in the image."""
    return max(0, -(shift // stride)), min(out, (size - 1 - shift) // stride + 1)


@inner
def _gather_rows(thread, threads, x, cols, sizes):
    kh, kw, sh, sw, ph, pw, dh, dw, oh, ow = sizes
    height, width = x.shape[1], x.shape[2]
    first, last = share(thread, threads, x.shape[0] * kh * kw)
    for row in range(first, last):
        plane, u, v = row // kw // kh, row // kw % kh, row % kw
        i_first, i_last = _inside(u * dh - ph, sh, height, oh)
        j_first, j_last = _inside(v * dw - pw, sw, width, ow)
        for i in range(oh):
            target = at(pointer(cols), (row * oh + i) * ow)
            source = at(pointer(x), (plane * height + i * sh + u * dh - ph) * width + v * dw - pw)
            inside = i_first <= i < i_last and j_first < j_last
            begin, end = (j_first, j_last) if inside else (ow, ow)
            for j in range(begin):
                target[j] = 0
            for j in range(begin, end):
                target[j] = source[j * sw]
            for j in range(end, ow):
                target[j] = 0


@entry(lambda t: (array(t, 3), array(t, 1), array(INT, 1), INT))
def _gather(x, cols, s, threads):
    sizes = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9])
    parallel(threads, _gather_rows, (x, cols, sizes))


def im2col(x, window):
    """As in the reference."""
    n, c, h, w = x.shape
    shape = n, c * math.prod(window.kernel_size), math.prod(window.out)
    planes, cols = ordered(x).reshape(n * c, h, w), np.empty(math.prod(shape), x.dtype)
    _gather[x.dtype](planes, cols, np.array(window).ravel(), threads_for(cols.size, GRAIN))
    return cols.reshape(shape)


@inner
def _scatter_planes(thread, threads, cols, x, sizes):
    kh, kw, sh, sw, ph, pw, dh, dw, oh, ow = sizes
    height, width = x.shape[1], x.shape[2]
    first, last = share(thread, threads, x.shape[0])
    for plane in range(first, last):
        out = at(pointer(x), plane * height * width)
        for k in range(height * width):
            out[k] = 0
        for u in range(kh):
            i_first, i_last = _inside(u * dh - ph, sh, height, oh)
            for v in range(kw):
                j_first, j_last = _inside(v * dw - pw, sw, width, ow)
                row = (plane * kh + u) * kw + v
                for i in range(i_first, i_last):
                    source = at(pointer(cols), (row * oh + i) * ow)
                    target = at(out, (i * sh + u * dh - ph) * width + v * dw - pw)
                    for j in range(j_first, j_last):
                        target[j * sw] += source[j]


@entry(lambda t: (array(t, 1), array(t, 3), array(INT, 1), INT))
def _scatter(cols, x, s, threads):
    sizes = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9])
    parallel(threads, _scatter_planes, (cols, x, sizes))


def col2im(cols, x_shape, window):
    """As in the reference."""
    n, c, h, w = x_shape
    planes, sizes = np.empty((n * c, h, w), cols.dtype), np.array(window).ravel()
    _scatter[cols.dtype](ordered(cols).ravel(), planes, sizes, threads_for(cols.size, GRAIN))
    return planes.reshape(x_shape)
