"""Convolution on batch-last images: every row of windows is one run of memory (see layout.py).

    forward   y[o, i, (j n)]    = b[o] + sum_uvc w[o, c, u, v] x[c, i sh + u dh, (j n) + tap v]
    dx        dx[c, h, (w n)]   = sum_uvo w[o, c, u, v] g[o, (h + ph - u dh) / sh, ...]
    dW        dw[o, c, u, v]    = sum_i <g[o, i, :], x[c, i sh + u dh, : + tap v]>

The first two are outer products, one number of w times a run of x or g; dW is inner products of two
runs.  There is no im2col matrix: a window's element is an offset, and `Plan` holds their tables.

      x, one channel             the run that tap (u, v) = (1, 2) meets for output row i = 0
      . . . . . . .
      . . [n n n|n n n|n n n]      = ow * N numbers, W row 1, from column 2 on
      . . . . . . .
"""

import math
from functools import lru_cache

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from .compiling import INT, array, entry, given, inner
from .contraction import inner_products, outer
from .layer import Layer
from .parallel import parallel, share
from .program import Place
from .simd import BYTES, INNER_ROWS, at, pointer
from .sums import total

add_outer, add_inner = outer.call, inner_products.call
BLOCK = 4096  # numbers of a run that dW takes at a time: ten such runs stay in the cache
WEIGHTS = 100_000  # weights that forward and dx go through at a time: they stay in the second cache


class Plan:
    """The tables and strides of one convolution: pure integers, made once for each geometry.

    The images may be a part of a batch of `pitch`, in whose memory y and dx lie.
    """

    def __init__(self, x_shape, w_shape, window, groups, itemsize, pitch, by_column=False):
        self.geometry = x_shape, w_shape, window, groups, itemsize, pitch
        (n, c, h, w), (o, cg, kh, kw) = x_shape, w_shape
        _, (sh, sw), padding, _, (oh, ow) = window
        self.padding, self.phases = padding, sw
        self.y_shape, self.dx_shape = (o, oh, ow, pitch), (c, h, w, pitch)
        self.macs = n * o * cg * kh * kw * oh * ow
        self.direct = _as_it_lies(window, (h, w)) and n == pitch
        self.height, self.width = h, w
        if not self.direct:
            reach_h, reach_w = window.reach()
            self.height = (oh - 1) * sh + reach_h
            self.width = -(-((ow - 1) * sw + reach_w) // sw)
        # Where a vector never spans two columns of dx, each column has its own taps.
        whole_vectors = n * itemsize % BYTES == 0
        self.by_column = by_column or whole_vectors or sw > 1 or kw == 1 or n < pitch
        self._plan_forward_and_dw()
        self._plan_dx()

    def _plan_forward_and_dw(self):
        (n, *_), (o, cg, kh, kw), window, groups, _, pitch = self.geometry
        _, (sh, sw), _, (dh, dw), (oh, ow) = window
        row = sw * self.width * n
        plane, taps = self.height * row, kh * kw
        # Of each row and each column of the window its offset into w, and into x.
        down = [u * dh * row for u in range(kh)]
        along = [(v * dw % sw * self.width + v * dw // sw) * n for v in range(kw)]
        self.us, self.vs = _pairs((u * kw, x) for u, x in enumerate(down)), _pairs(enumerate(along))
        terms, w_step, x_step = cg, taps, plane  # the innermost sum goes over channels ...
        if cg == sw == 1:  # ... or, where there is one only, over the window's columns
            terms, w_step, x_step, self.vs = kw, 1, dw * n, _integers(0, 0)
        columns, run = (1, ow * n) if n == pitch else (ow, n)
        self.forward = _integers(
            groups, o // groups, cg * taps, cg * plane, terms, w_step, x_step, oh, columns, run,
            sh * row, n, ow * pitch, pitch, _fitting(o // groups * taps),
        )  # fmt: skip
        # Of each tap its offset into x; and how many rows dW takes at a time.
        self.taps = _integers(*(c * plane + u + v for c in range(cg) for u in down for v in along))
        rows = max(1, min(BLOCK // max(ow * n, 1), oh))
        self.dw = _integers(groups, o // groups, cg * taps, oh, ow * n, cg * plane, sh * row, rows)

    def _plan_dx(self):
        """By column or not: else all columns have all taps, and g zeros for those beside it."""
        (n, _, h, w), (o, cg, kh, kw), window, groups, _, pitch = self.geometry
        _, (sh, sw), (ph, pw), (dh, dw), (oh, ow) = window
        beside = window.reach()[1] - 1
        self.g_before = 0 if self.by_column else beside - pw
        self.g_width = ow if self.by_column else w + beside
        row, size = self.g_width * n, o * cg  # of g; and how many weights a tap has
        self.h_starts, self.h_taps = _met(h, ph, (kh, dh, sh, oh), kw * size, row)
        self.w_starts, self.w_taps = _met(w, pw, (kw, dw, sw, ow), size, n)
        if not self.by_column:
            self.w_starts = _integers(0, kw)
            self.w_taps = _pairs((v * size, (beside - v * dw) * n) for v in range(kw))
        run = n if self.by_column else w * n
        self.dx = _integers(
            groups, cg, o // groups, h, len(self.w_starts) - 1, run, oh * row,
            w * pitch, pitch, _fitting(cg * kh * kw),
        )  # fmt: skip


def _as_it_lies(window, size):
    """Whether an image of this size needs no zeros around it, and no other order of columns."""
    unpadded = window.padding == window.overhang(size) == (0, 0)
    return unpadded and window.stride[1] == 1


def _integers(*values):
    return np.array(values, dtype=np.int64)


def _fitting(size):
    """How many channels of so many weights each to take at a time."""
    return max(1, WEIGHTS // max(size, 1))


def _pairs(found):
    return np.array([*found], dtype=np.int64).reshape(-1)


def _met(size, before, axis, w_step, g_step):
    """Which windows each place along one axis of the image is in, and at which tap.

    Returns where each place's pairs start, counted in pairs, and the pairs of offsets into w and g.
    """
    taps, dilation, stride, out = axis
    from_first = np.arange(size)[:, None] + before - np.arange(taps) * dilation
    window, rest = np.divmod(from_first, stride)
    met = (rest == 0) & (window >= 0) & (window < out)  # (place, tap)
    starts = np.concatenate([[0], met.sum(axis=1).cumsum()])
    pairs = np.stack([np.nonzero(met)[1] * w_step, window[met] * g_step], axis=1)
    return starts.astype(np.int64), pairs.astype(np.int64).reshape(-1)


plan_of = lru_cache(maxsize=256)(Plan)


# ---- forward ---------------------------------------------------------------------------------


@inner
def _forward_rows(thread, threads, x, weight, bias, bias_row, y, from_image, us, vs, sizes):
    groups, o, w_row, planes, terms, w_step, x_step, oh = sizes[:8]
    columns, run, row, column, y_row, pitch, some = sizes[8:]
    first, last = share(thread, threads, groups * oh)
    for task in range(first, last):
        group, i = task // oh, task % oh
        for k in range(0, max(terms, 1), some):  # the sum over channels, some of them at a time
            for j in range(columns):
                add_outer(
                    o, run,
                    at(pointer(weight), group * o * w_row + k * w_step), w_row,
                    at(pointer(x), group * planes + k * x_step + i * row + j * column),
                    pointer(us), us.size // 2, pointer(vs), vs.size // 2, min(some, terms - k),
                    w_step, x_step, at(pointer(bias), group * o * bias_row), bias_row, k,
                    at(pointer(y), (group * o * oh + i) * y_row + j * pitch + from_image),
                    oh * y_row,
                )  # fmt: skip


@entry(
    lambda t: (
        array(t, 4), array(t, 4), array(t, 1), INT, array(t, 4), INT,
        array(INT, 1), array(INT, 1), array(INT, 1), INT,
    ),
    uses=(outer,),
)  # fmt: skip
def _forward(x, weight, bias, bias_row, y, from_image, us, vs, s, threads):
    sizes = to_fixed_tuple(s, 15)
    parallel(threads, _forward_rows, (x, weight, bias, bias_row, y, from_image, us, vs, sizes))


# ---- backward --------------------------------------------------------------------------------


@entry(lambda t: (array(t, 4), array(t, 1), array(t, 1)))
def _taps_first(weight, out, flag):
    """(O, C, kh, kw) -> (kh * kw, O, C) memory, so that dx reads it in one go.

    The flag becomes 0, or NaN if a weight (or their sum) is not finite.
    """
    o, c, kh, kw = weight.shape
    for i in range(o):
        for u in range(kh):
            for v in range(kw):
                for j in range(c):
                    out[((u * kw + v) * o + i) * c + j] = weight[i, j, u, v]
    flag[0] = total(out) * 0


@inner
def _dx_rows(
    thread, threads, g, weight, zero, dx, from_image, h_starts, h_taps, w_starts, w_taps, sizes
):
    groups, c, o, height, columns, run, plane, dx_row, pitch, some = sizes
    first, last = share(thread, threads, groups * height)
    for task in range(first, last):
        group, h = task // height, task % height
        us = at(pointer(h_taps), 2 * h_starts[h])
        for k in range(0, max(o, 1), some):
            for w in range(columns):
                vs = at(pointer(w_taps), 2 * w_starts[w])
                add_outer(
                    c, run,
                    at(pointer(weight), (group * o + k) * c), 1,
                    at(pointer(g), (group * o + k) * plane),
                    us, h_starts[h + 1] - h_starts[h], vs, w_starts[w + 1] - w_starts[w],
                    min(some, o - k), c, plane, pointer(zero), 0, k,
                    at(pointer(dx), (group * c * height + h) * dx_row + w * pitch + from_image),
                    height * dx_row,
                )  # fmt: skip


@inner
def _dw_tiles(thread, threads, x, g, offsets, dw, more, sizes):
    groups, o, taps, oh, run, plane, step, rows = sizes
    blocks = (o + INNER_ROWS - 1) // INNER_ROWS  # of output channels
    first, last = share(thread, threads, groups * blocks * taps)
    for i in range(0, oh, rows):
        for start in range(0, max(run, 1), BLOCK):  # also for no images, whose sum is 0
            task = first
            while task < last:
                group, block, tap = task // taps // blocks, task // taps % blocks, task % taps
                o_first = group * o + block * INNER_ROWS
                columns = min(taps - tap, last - task)
                add_inner(
                    min(INNER_ROWS, group * o + o - o_first), columns,
                    at(pointer(g), (o_first * oh + i) * run + start), oh * run, run,
                    at(pointer(x), group * plane + i * step + start), at(pointer(offsets), tap),
                    step, min(rows, oh - i), min(BLOCK, run - start), more + i + start,
                    at(pointer(dw), o_first * taps + tap), taps, 1,
                )  # fmt: skip
                task += columns


@inner
def _sum_planes(thread, threads, g, db, more):
    first, last = share(thread, threads, g.shape[0])
    for channel in range(first, last):
        found = total(g[channel].reshape(-1))
        db[channel] = db[channel] + found if more else found


@entry(
    lambda t: (
        array(t, 4), given(t, 4), array(INT, 1), array(t, 4), array(t, 1), INT, array(INT, 1), INT,
    ),
    uses=(inner_products,),
)  # fmt: skip
def _dw_and_db(x, g, offsets, dw, db, more, s, threads):
    """Fills those of dw and db that have room for something; with `more` adds to them."""
    if dw.size:
        sizes = to_fixed_tuple(s, 8)
        parallel(threads, _dw_tiles, (x, g, offsets, dw, more, sizes))
    if db.size:
        parallel(threads, _sum_planes, (g, db, more))


@entry(
    lambda t: (
        given(t, 4), array(t, 1), array(t, 1), array(t, 4), INT,
        array(INT, 1), array(INT, 1), array(INT, 1), array(INT, 1), array(INT, 1), INT,
    ),
    uses=(outer,),
)  # fmt: skip
def _dx(g, weight, zero, dx, from_image, h_starts, h_taps, w_starts, w_taps, s, threads):
    sizes = to_fixed_tuple(s, 10)
    tables = (h_starts, h_taps, w_starts, w_taps, sizes)
    parallel(threads, _dx_rows, (g, weight, zero, dx, from_image, *tables))


# ---- the layer -------------------------------------------------------------------------------


class Conv2d(Layer, kernel="conv2d"):
    """The calls of a convolution."""

    kept_weights = (0,)

    def __init__(self, *args):
        super().__init__(*args)
        self.keeps_input = _as_it_lies(self.args[0], self.x_shape[1:])

    def _geometry(self, plan, x_shape, by_column=False):
        window, groups = self.args
        n, size = plan.n, plan.dtype.itemsize
        return plan_of((n, *x_shape), self.shapes[0], window, groups, size, n, by_column)

    def forward(self, plan, x, keep):
        x_shape = x.shape[1:] if x.strides else x.shape[:3]
        self.plan = found = self._geometry(plan, x_shape)
        self.memory, bias = x, self.weight(1)
        if x.strides or not found.direct:
            shape = (x_shape[0], found.height, found.phases * found.width, plan.n)
            self.memory = plan.memory(shape, plan.saves)
            plan.place(x, self.memory, found.padding, found.phases)
        y, threads = plan.output(found.y_shape, keep), plan.threads_for(found.macs)
        plan.call(
            _forward, self.memory, self.weight(0), plan.zero if bias is None else bias,
            int(bias is not None), y, 0, found.us, found.vs, found.forward, threads,
        )  # fmt: skip
        return y

    def backward(self, plan, g, dx_wanted):
        found = self.plan
        dw, db = self.wanted(plan, 0, 0, 0, 0, 0), self.wanted(plan, 1, 0)
        if any(isinstance(d, Place) for d in (dw, db)):
            plan.call(
                _dw_and_db, self.memory, g, found.taps, dw, db, plan.part, found.dw,
                plan.threads_for(found.macs),
            )  # fmt: skip
        return self._dx(plan, g) if dx_wanted else None

    def _dx(self, plan, g):
        found, weight = self.plan, self.weight(0)
        if plan.by_column:
            found = self._geometry(plan, found.geometry[0][1:], True)
        turned = plan.once((math.prod(weight.shape),))
        flag = plan.memory((1,)) if found.by_column else plan.flag()
        plan.call_once(_taps_first, weight, turned, flag)
        if not found.by_column:
            wide = plan.memory((*g.shape[:2], found.g_width, plan.n))
            plan.place(g, wide, (0, found.g_before), 1)
            g = wide
        dx = plan.output(found.dx_shape)
        tables = (found.h_starts, found.h_taps, found.w_starts, found.w_taps, found.dx)
        plan.call(_dx, g, turned, plan.zero, dx, 0, *tables, plan.threads_for(found.macs))
        return dx
