"""Convolution on batch-last images: every row of windows is one run of memory (see layout.py).

    forward   y[o, i, (j n)]    = b[o] + sum_uvc w[o, c, u, v] x[c, i sh + u dh, (j n) + tap v]
    dx        dx[c, h, (w n)]   = sum_uvo w[o, c, u, v] g[o, (h + ph - u dh) / sh, ...]
    dW        dw[o, c, u, v]    = sum_i <g[o, i, :], x[c, i sh + u dh, : + tap v]>

The first two are outer products, one number of w times a run of x or g; dW is inner products of two
runs.  There is no im2col matrix: a window's element is an offset; `Geometry` holds their tables.

      x, one channel             the run that tap (u, v) = (1, 2) meets for output row i = 0
      . . . . . . .
      . . [n n n|n n n|n n n]      = ow * N numbers, W row 1, from column 2 on
      . . . . . . .
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from minicnn.kernels.numba_cpu.compiling import INT, array, entry, given, inner
from minicnn.kernels.numba_cpu.contraction import inner_products, outer
from minicnn.kernels.numba_cpu.layer import Layer
from minicnn.kernels.numba_cpu.parallel import parallel, share
from minicnn.kernels.numba_cpu.program import Place
from minicnn.kernels.numba_cpu.simd import BYTES, INNER_ROWS, at, pointer
from minicnn.kernels.numba_cpu.sums import total

add_outer, add_inner = outer.call, inner_products.call
BLOCK = 4096  # numbers of a run that dW takes at a time: ten such runs stay in the cache
WEIGHTS = 100_000  # weights that forward and dx go through at a time: they stay in the second cache


class ForwardSizes(NamedTuple):
    """Counts, and steps in numbers of an array, of the outer products that make y."""

    groups: int
    outputs: int  # channels of a group
    w_output: int  # from one output channel's weights to the next's
    x_group: int
    terms: int  # of the innermost sum
    w_term: int
    x_term: int
    rows: int  # of windows
    runs: int  # of a row of windows,
    run: int  # and the numbers of each
    x_row: int
    x_run: int
    y_row: int
    y_run: int
    some: int  # terms at a time


class WeightGradientSizes(NamedTuple):
    """The same of the inner products that make dW."""

    groups: int
    outputs: int
    taps: int
    rows: int
    run: int
    x_group: int
    x_row: int
    some: int  # rows at a time


class InputGradientSizes(NamedTuple):
    """The same of the outer products that make dx."""

    groups: int
    inputs: int  # channels of a group
    outputs: int
    height: int
    runs: int  # of a row of dx
    run: int
    g_output: int
    dx_row: int
    dx_run: int
    some: int  # output channels at a time


class Geometry:
    """The tables and strides of one convolution: pure integers, made once for each geometry.

    The images may be a part of a batch of `pitch`, in whose memory y and dx lie.
    """

    def __init__(self, x_shape, w_shape, window, groups, itemsize, pitch, by_column=False):
        self.of = x_shape, w_shape, window, groups, itemsize, pitch
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
        (n, *_), (o, cg, kh, kw), window, groups, _, pitch = self.of
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
        sizes = ForwardSizes(
            groups=groups, outputs=o // groups, w_output=cg * taps, x_group=cg * plane,
            terms=terms, w_term=w_step, x_term=x_step, rows=oh, runs=columns, run=run,
            x_row=sh * row, x_run=n, y_row=ow * pitch, y_run=pitch,
            some=_fitting(o // groups * taps),
        )  # fmt: skip
        self.forward = _integers(*sizes)
        # Of each tap its offset into x; and how many rows dW takes at a time.
        self.taps = _integers(*(c * plane + u + v for c in range(cg) for u in down for v in along))
        rows = max(1, min(BLOCK // max(ow * n, 1), oh))
        sizes = WeightGradientSizes(
            groups=groups, outputs=o // groups, taps=cg * taps, rows=oh, run=ow * n,
            x_group=cg * plane, x_row=sh * row, some=rows,
        )  # fmt: skip
        self.dw = _integers(*sizes)

    def _plan_dx(self):
        """By column or not: else all columns have all taps, and g zeros for those beside it."""
        (n, _, h, w), (o, cg, kh, kw), window, groups, _, pitch = self.of
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
        sizes = InputGradientSizes(
            groups=groups, inputs=cg, outputs=o // groups, height=h, runs=len(self.w_starts) - 1,
            run=run, g_output=oh * row, dx_row=w * pitch, dx_run=pitch, some=_fitting(cg * kh * kw),
        )  # fmt: skip
        self.dx = _integers(*sizes)


def _as_it_lies(window, size):
    """Whether an image of this size needs no zeros around it, and no other order of columns."""
    unpadded = window.padding == window.overhang(size) == (0, 0)
    return unpadded and window.stride[1] == 1


def _integers(*values):
    return np.array(values, dtype=np.int64)


def _fitting(size):
    """How many channels of so many weights each to take at a time."""
    return max(1, WEIGHTS // max(size, 1))


def _pairs(pairs):
    return np.array([*pairs], dtype=np.int64).reshape(-1)


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


geometry_of = lru_cache(maxsize=256)(Geometry)


# ---- forward ---------------------------------------------------------------------------------


@inner
def _forward_rows(thread, threads, x, weight, bias, bias_row, y, from_image, us, vs, sizes):
    s = ForwardSizes(*sizes)
    first, last = share(thread, threads, s.groups * s.rows)
    for task in range(first, last):
        group, i = task // s.rows, task % s.rows
        output = group * s.outputs  # the group's first channel
        for k in range(0, max(s.terms, 1), s.some):  # the sum over channels, some at a time
            for j in range(s.runs):
                add_outer(
                    s.outputs, s.run,
                    at(pointer(weight), output * s.w_output + k * s.w_term), s.w_output,
                    at(pointer(x), group * s.x_group + k * s.x_term + i * s.x_row + j * s.x_run),
                    pointer(us), us.size // 2, pointer(vs), vs.size // 2, min(s.some, s.terms - k),
                    s.w_term, s.x_term, at(pointer(bias), output * bias_row), bias_row, k,
                    at(pointer(y), (output * s.rows + i) * s.y_row + j * s.y_run + from_image),
                    s.rows * s.y_row,
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
    s = InputGradientSizes(*sizes)
    first, last = share(thread, threads, s.groups * s.height)
    for task in range(first, last):
        group, h = task // s.height, task % s.height
        us, input = at(pointer(h_taps), 2 * h_starts[h]), group * s.inputs
        for k in range(0, max(s.outputs, 1), s.some):
            output = group * s.outputs + k
            for w in range(s.runs):
                vs = at(pointer(w_taps), 2 * w_starts[w])
                add_outer(
                    s.inputs, s.run,
                    at(pointer(weight), output * s.inputs), 1, at(pointer(g), output * s.g_output),
                    us, h_starts[h + 1] - h_starts[h], vs, w_starts[w + 1] - w_starts[w],
                    min(s.some, s.outputs - k), s.inputs, s.g_output, pointer(zero), 0, k,
                    at(pointer(dx), (input * s.height + h) * s.dx_row + w * s.dx_run + from_image),
                    s.height * s.dx_row,
                )  # fmt: skip


@inner
def _dw_tiles(thread, threads, x, g, offsets, dw, more, sizes):
    s = WeightGradientSizes(*sizes)
    blocks = (s.outputs + INNER_ROWS - 1) // INNER_ROWS  # of output channels
    first, last = share(thread, threads, s.groups * blocks * s.taps)
    for i in range(0, s.rows, s.some):
        for start in range(0, max(s.run, 1), BLOCK):  # also for no images, whose sum is 0
            task = first
            while task < last:
                tap, block, group = task % s.taps, task // s.taps % blocks, task // s.taps // blocks
                output = group * s.outputs + block * INNER_ROWS
                columns = min(s.taps - tap, last - task)
                add_inner(
                    min(INNER_ROWS, (group + 1) * s.outputs - output), columns,
                    at(pointer(g), (output * s.rows + i) * s.run + start), s.rows * s.run, s.run,
                    at(pointer(x), group * s.x_group + i * s.x_row + start),
                    at(pointer(offsets), tap),
                    s.x_row, min(s.some, s.rows - i), min(BLOCK, s.run - start), more + i + start,
                    at(pointer(dw), output * s.taps + tap), s.taps, 1,
                )  # fmt: skip
                task += columns


@inner
def _sum_planes(thread, threads, g, db, more):
    first, last = share(thread, threads, g.shape[0])
    for channel in range(first, last):
        plane = total(g[channel].reshape(-1))
        db[channel] = db[channel] + plane if more else plane


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

    def _geometry(self, plan, by_column=False):
        window, groups = self.args
        n, size = plan.n, plan.dtype.itemsize
        return geometry_of((n, *self.x_shape), self.shapes[0], window, groups, size, n, by_column)

    def forward(self, plan, x, keep):
        self.geometry = geometry = self._geometry(plan)
        self.memory, bias = x, self.weight(1)
        if x.strides or not geometry.direct:
            width = geometry.phases * geometry.width
            self.memory = plan.memory((self.x_shape[0], geometry.height, width, plan.n), plan.saves)
            plan.place(x, self.memory, geometry.padding, geometry.phases)
        y, threads = plan.output(geometry.y_shape, keep), plan.threads_for(geometry.macs)
        plan.call(
            _forward, self.memory, self.weight(0), plan.zero if bias is None else bias,
            int(bias is not None), y, 0, geometry.us, geometry.vs, geometry.forward, threads,
        )  # fmt: skip
        return y

    def backward(self, plan, g, dx_wanted):
        geometry = self.geometry
        dw, db = self.wanted(plan, 0, 0, 0, 0, 0), self.wanted(plan, 1, 0)
        if any(isinstance(d, Place) for d in (dw, db)):
            plan.call(
                _dw_and_db, self.memory, g, geometry.taps, dw, db, plan.part, geometry.dw,
                plan.threads_for(geometry.macs),
            )  # fmt: skip
        return self._dx(plan, g) if dx_wanted else None

    def _dx(self, plan, g):
        weight = self.weight(0)
        geometry = self._geometry(plan, True) if plan.by_column else self.geometry
        turned = plan.once((math.prod(weight.shape),))
        flag = plan.memory((1,)) if geometry.by_column else plan.flag()
        plan.call_once(_taps_first, weight, turned, flag)
        if not geometry.by_column:
            wide = plan.memory((*g.shape[:2], geometry.g_width, plan.n))
            plan.place(g, wide, (0, geometry.g_before), 1)
            g = wide
        dx, threads = plan.output(geometry.dx_shape), plan.threads_for(geometry.macs)
        tables = geometry.h_starts, geometry.h_taps, geometry.w_starts, geometry.w_taps, geometry.dx
        plan.call(_dx, g, turned, plan.zero, dx, 0, *tables, threads)
        return dx
