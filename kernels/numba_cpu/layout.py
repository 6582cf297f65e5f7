"""Batch-last images: how the compiled kernels lay an image out in memory, and bring one there.

To the user an image is (N, C, H, W); in memory it is (C, H, W, N), so that the same pixel of all
images of the batch lies together, and a vector register holds that pixel of 16 of them:

      row h of channel c:   | n0 n1 n2 .. | n0 n1 n2 .. | n0 n1 n2 .. |
                                w = 0         w = 1         w = 2

No kernel then cares how many channels there are, or how a window's elements lie to each other.  A
whole row of windows is one run of ow * N numbers, which are shorter vectors' worth only at its end:
a batch of one is as good as any other.

Convolution wants more of its input: zeros around it, and for a stride of sw the columns sorted by
their remainder, so that what a row of windows meets at one tap is a run again:

      stride 2:   0 1 2 3 4 5 6   ->   0 2 4 6 | 1 3 5
"""

import numpy as np
from numba import types

from minicnn.kernels.numba_cpu.compiling import INT, array, entry, inner, shared, strided
from minicnn.kernels.numba_cpu.parallel import parallel, share
from minicnn.kernels.numba_cpu.simd import at, lanes_of, pointer, turn_tile
from minicnn.kernels.threads import threads_for


@inner
def _zero(target, first, last):
    for i in range(first, last):
        target[i] = 0


@shared(lambda t: (types.CPointer(t), INT, INT, types.CPointer(t), INT, INT, INT))
def turn(source, row_step, column_step, target, target_step, rows, columns):
    """target[j * target_step + i] = source[i * row_step + j * column_step]: transposes."""
    if rows == 1:
        for j in range(columns):
            target[j * target_step] = source[j * column_step]
    elif column_step == 1:
        lanes = lanes_of(source)
        for i in range(0, rows, lanes):
            for j in range(0, columns, lanes):
                turn_tile(
                    at(source, i * row_step + j), row_step, min(rows - i, lanes),
                    min(columns - j, lanes), at(target, j * target_step + i), target_step,
                )  # fmt: skip
    else:
        for j in range(columns):
            line, column = at(target, j * target_step), at(source, j * column_step)
            if row_step == 1:  # said so, LLVM copies vectors
                for i in range(rows):
                    line[i] = column[i]
            else:
                for i in range(rows):
                    line[i] = column[i * row_step]


transpose = turn.call


@inner
def _place_rows(thread, threads, image, out, before_h, before_w, phases):
    """image (N, C, H, W) of any strides into out (C, HP, phases * WP, N); what it misses is 0."""
    n_images, _, height, width = image.shape
    step_n, step_c, step_h, step_w = image.strides  # in bytes
    rows, part = out.shape[1], out.shape[2] // phases
    first, last = share(thread, threads, out.shape[0] * rows)
    for task in range(first, last):
        c, h = task // rows, task % rows - before_h
        for phase in range(phases):
            target = at(pointer(out), (task * phases + phase) * part * n_images)
            left = right = part  # the columns of target between them come from the image
            if 0 <= h < height:
                left = min(max((before_w - phase + phases - 1) // phases, 0), part)
                right = min(max((width + before_w - phase + phases - 1) // phases, left), part)
                w = left * phases + phase - before_w
                source = at(pointer(image), (c * step_c + h * step_h + w * step_w) // out.itemsize)
                transpose(
                    source, step_n // out.itemsize, phases * step_w // out.itemsize,
                    at(target, left * n_images), n_images, n_images, right - left,
                )  # fmt: skip
            _zero(target, 0, left * n_images)
            _zero(target, right * n_images, part * n_images)


@entry(lambda t: (strided(t, 4), array(t, 4), INT, INT, INT, INT), uses=(turn,))
def fill(image, out, before_h, before_w, phases, threads):
    """An image (N, C, H, W) into (C, height, phases * width, N) memory, behind `before`."""
    parallel(threads, _place_rows, (image, out, before_h, before_w, phases))


def place(image, height, width, before=(0, 0), phases=1):
    """A new (C, height, phases * width, N) that holds an image (N, C, H, W) behind `before`."""
    n, c = image.shape[:2]
    out = np.empty((c, height, phases * width, n), image.dtype)
    if not image.flags.aligned:
        image = image.copy()
    fill[image.dtype](image, out, *before, phases, threads_for(out.size, 30_000))
    return out


def batch_last(image):
    """The memory (C, H, W, N) of an image (N, C, H, W): its own if it lies so, else a copy."""
    memory = image.transpose(1, 2, 3, 0)
    return memory if memory.flags.carray else place(image, *image.shape[2:])


def given_batch_last(g):
    """As `batch_last`, for a gradient, which may be read-only."""
    memory = g.transpose(1, 2, 3, 0)
    if memory.flags.c_contiguous and memory.flags.aligned:
        return memory
    return place(g, *g.shape[2:])


def image_of(memory):
    """(C, H, W, N) as the user sees it: (N, C, H, W)."""
    return memory.transpose(3, 0, 1, 2)


def ordered(x):
    """x itself if it is C-ordered, aligned and writable, else such a copy."""
    return x if x.flags.carray else np.array(x, order="C", copy=True)


@entry(lambda t: (strided(t, 2), array(t, 2)), uses=(turn,))
def turn_all(x, out):
    """out = x^T."""
    row, column = x.strides[0] // out.itemsize, x.strides[1] // out.itemsize
    transpose(pointer(x), row, column, pointer(out), out.shape[1], x.shape[0], x.shape[1])


def turned(x):
    """x^T in C order, as an array of its own."""
    out = np.empty(x.shape[::-1], x.dtype)
    turn_all[x.dtype](x if x.flags.aligned else x.copy(), out)
    return out


@entry(lambda t: (array(t, 2), types.Array(t, 2, "A")))
def put(part, out):
    """out = part: columns of a larger matrix."""
    for i in range(part.shape[0]):
        source, target = part[i], out[i]
        for j in range(part.shape[1]):
            target[j] = source[j]
