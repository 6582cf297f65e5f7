"""Windows to columns and back, on batch-last images (see layout.py).

A row of the columns is one element of the window, (c, u, v), for all windows: the image itself,
moved by that element's place, with 0 where the padding is.

      x, one channel      columns of a 2 x 2 window
      a b c               (0, 0)  a b d e        every letter is N numbers, of N images
      d e f               (0, 1)  b c e f
      g h i               (1, 0)  d e g h
                          (1, 1)  e f h i

The way back adds each row of the columns where im2col took it from.
"""

import numpy as np

from ..threads import threads_for
from .compiling import INT, array, entry, inner
from .layout import batch_last, image_of, ordered
from .parallel import parallel, share
from .simd import at, pointer

GRAIN = 100_000  # numbers of the columns per thread


@inner
def _inside(shift, stride, size, out):
    """The first window, and the one behind the last, whose element at `shift` is in the image."""
    return max(0, -(shift // stride)), min(out, (size - 1 - shift) // stride + 1)


@inner
def _gather_rows(thread, threads, x, cols, sizes):
    kh, kw, sh, sw, ph, pw, dh, dw, oh, ow = sizes
    height, width, n = x.shape[1], x.shape[2], x.shape[3]
    first, last = share(thread, threads, x.shape[0] * kh * kw)
    for row in range(first, last):
        c, u, v = row // kw // kh, row // kw % kh, row % kw
        i_first, i_last = _inside(u * dh - ph, sh, height, oh)
        j_first, j_last = _inside(v * dw - pw, sw, width, ow)
        for i in range(oh):
            target = at(pointer(cols), (row * oh + i) * ow * n)
            inside = i_first <= i < i_last and j_first < j_last
            begin, end = (j_first, j_last) if inside else (ow, ow)
            for k in range(begin * n):
                target[k] = 0
            source = at(pointer(x), (c * height + i * sh + u * dh - ph) * width * n)
            source = at(source, (begin * sw + v * dw - pw) * n)
            target = at(target, begin * n)
            step = (end - begin) * n if sw == 1 else n  # one run if windows are neighbours
            for _ in range(0, (end - begin) * n, max(step, 1)):
                for k in range(step):
                    target[k] = source[k]
                source, target = at(source, sw * n), at(target, step)
            for k in range((ow - end) * n):
                target[k] = 0


@entry(lambda t: (array(t, 4), array(t, 2), array(INT, 1), INT))
def _gather(x, cols, s, threads):
    sizes = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9])
    parallel(threads, _gather_rows, (x, cols, sizes))


def im2col(x, window):
    """As in the reference."""
    (n, c), (kh, kw), (oh, ow) = x.shape[:2], window.kernel_size, window.out
    cols = np.empty((c * kh * kw, oh * ow * n), x.dtype)
    sizes = np.array(window).ravel()
    _gather[x.dtype](batch_last(x), cols, sizes, threads_for(cols.size, GRAIN))
    return cols


@inner
def _scatter_planes(thread, threads, cols, x, sizes):
    kh, kw, sh, sw, ph, pw, dh, dw, oh, ow = sizes
    height, width, n = x.shape[1], x.shape[2], x.shape[3]
    plane, row = height * width * n, oh * ow * n
    first, last = share(thread, threads, x.shape[0])
    for c in range(first, last):
        out = at(pointer(x), c * plane)
        for k in range(plane):
            out[k] = 0
        for u in range(kh):
            i_first, i_last = _inside(u * dh - ph, sh, height, oh)
            for v in range(kw):
                j_first, j_last = _inside(v * dw - pw, sw, width, ow)
                step = (j_last - j_first) * n if sw == 1 else n
                for i in range(i_first, i_last):
                    source = at(
                        pointer(cols), ((c * kh + u) * kw + v) * row + (i * ow + j_first) * n
                    )
                    target = at(out, (i * sh + u * dh - ph) * width * n)
                    target = at(target, (j_first * sw + v * dw - pw) * n)
                    for _ in range(0, (j_last - j_first) * n, max(step, 1)):
                        for k in range(step):
                            target[k] += source[k]
                        source, target = at(source, step), at(target, sw * n)


@entry(lambda t: (array(t, 2), array(t, 4), array(INT, 1), INT))
def _scatter(cols, x, s, threads):
    sizes = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9])
    parallel(threads, _scatter_planes, (cols, x, sizes))


def col2im(cols, x_shape, window):
    """As in the reference."""
    n, c, h, w = x_shape
    x, sizes = np.empty((c, h, w, n), cols.dtype), np.array(window).ravel()
    _scatter[cols.dtype](ordered(cols), x, sizes, threads_for(cols.size, GRAIN))
    return image_of(x)
