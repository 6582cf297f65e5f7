"""Pooling on batch-last images: average, maximum, and LeNet's trainable subsampling.

The sum of every window is a linear map of the image, rows and columns apart:

    y[c, i, j] = sum over h in window i, w in window j of  R[i, h] S[j, w] x[c, h, w]

R and S are sparse, their numbers 1, or 1 over the window's height and width for an average.  What
is not 0 in a row of them lies at equal distances, so a table has the first place and the count.
Backward is the transposed map, so one kernel with two pairs of tables does both.  It first adds up
rows, which are runs of W * N numbers, and then columns, runs of N:

      x, 4 x 6        rows added        columns added
      1 1 1 1 1 1
      2 2 2 2 2 2     3 3 3 3 3 3       6  6  6            window 2 x 2, every number is
      3 3 3 3 3 3     7 7 7 7 7 7      14 14 14            N of them, of N images
      4 4 4 4 4 4

Where 2 x 2 windows tile the image, as in all LeNets, other loops keep the four in registers: with
a batch of one a column is a single number, and what matters is that the loop runs along the row.
A maximum remembers its winner's place inside the window, u * kw + v, and sends g back there.
"""

import math
from functools import lru_cache

import numpy as np
from numba import types
from numba.np.unsafe.ndarray import to_fixed_tuple

from minicnn.kernels.numba_cpu.compiling import INT, array, entry, given, inner
from minicnn.kernels.numba_cpu.layer import Layer
from minicnn.kernels.numba_cpu.parallel import parallel, share
from minicnn.kernels.numba_cpu.program import Place
from minicnn.kernels.numba_cpu.simd import at, pointer
from minicnn.kernels.numba_cpu.sums import total, total_of_products
from minicnn.kernels.reference import window_sizes

GRAIN = 60_000  # numbers of the image per thread


class Geometry:
    """The tables of one pooling: made once for each geometry and number type."""

    def __init__(self, x_shape, window, count_include_pad, divisor, dtype):
        (n, c, *size), (kernel, stride, padding, dilation, out) = x_shape, window
        self.x_shape, self.y_shape = (c, *size, n), (c, *out, n)
        self.work = n * c * size[0] * size[1]
        plain = padding == (0, 0) and dilation == (1, 1)
        self.tiled = plain and kernel == stride == (2, 2) and size == [2 * o for o in out]
        self.one = np.ones(1, dtype)
        self.place = np.dtype(np.uint8 if kernel[0] * kernel[1] < 256 else np.uint32)
        weights = _weights(size, window, count_include_pad, divisor)
        self.factor = np.array([weights[0][0] * weights[1][0]], dtype)  # of all windows, if tiled
        self.sums, self.spread = [], []
        for axis in 0, 1:
            along = size[axis], *(pair[axis] for pair in window[:4]), out[axis]
            values = weights[axis].astype(dtype)
            for table, of in (self.sums, _elements), (self.spread, _windows):
                firsts, counts, step = of(*along)
                table += [firsts, counts, values, step]
        self.window = np.array([*kernel, *stride, *padding, *dilation])
        # Where from a window's begin each of its elements is, in the plane of all images.
        rows, columns = (np.arange(kernel[i]) * dilation[i] for i in (0, 1))
        self.taps = np.add.outer(rows * size[1], columns).ravel() * n


def _elements(size, kernel, stride, padding, dilation, out):
    """Of each window the places h of its elements inside the image: first, count, distance."""
    begin = np.arange(out) * stride - padding
    before = np.maximum(0, -(begin // dilation))  # elements, in front of the image
    last = np.minimum((size - 1 - begin) // dilation, kernel - 1)
    return begin + before * dilation, np.maximum(0, last - before + 1), dilation


def _windows(size, kernel, stride, padding, dilation, out):
    """Of each place h the windows i it is in, h = i stride - padding + v dilation: as above.

    Of those from the lowest to the highest that reach so far, each `step` apart has it.
    """
    shared = math.gcd(stride, dilation)
    step, place = dilation // shared, np.arange(size) + padding
    lowest = np.maximum(0, -(((kernel - 1) * dilation - place) // stride))
    highest = np.minimum(place // stride, out - 1)
    one = place // shared * pow(stride // shared, -1, step)  # i stride = place, modulo dilation
    first = lowest + (one - lowest) % step
    counts = np.where(place % shared == 0, np.maximum(0, (highest - first) // step + 1), 0)
    return first, counts, step


def _weights(size, window, count_padding, divisor):
    """Of each row and of each column of windows what its elements are multiplied by."""
    sizes = window_sizes(size, window, count_padding)  # the outer product of heights and widths
    if divisor:
        sizes = np.full(sizes.shape, divisor)
    with np.errstate(all="ignore"):  # windows of nothing, over an image of nothing
        return 1 / sizes[:, 0], sizes[0, 0] / sizes[0]


geometry_of = lru_cache(maxsize=64)(Geometry)


# ---- sums of windows -------------------------------------------------------------------------


@inner
def _map_rows(thread, threads, x, y, factor, h_table, w_table, back):
    """y[c, a, b] = factor_c * sum over h, w of R[a, h] S[b, w] x[c, h, w].

    Values are those of the windows: of rows, and in the transposed maps (back) of columns.
    """
    channels, height, width, n = y.shape
    run = x.shape[2] * n
    (h_firsts, h_counts, h_values, h_step), (w_firsts, w_counts, w_values, w_step) = (
        h_table,
        w_table,
    )
    row = np.empty(run, x.dtype)
    first, last = share(thread, threads, channels * height)
    for task in range(first, last):
        c, a = task // height, task % height
        for k in range(run):
            row[k] = 0
        for i in range(h_counts[a]):
            h = h_firsts[a] + i * h_step
            source, value = at(pointer(x), (c * x.shape[1] + h) * run), h_values[h if back else a]
            value *= factor[c % factor.size]
            for k in range(run):
                row[k] += value * source[k]
        for b in range(width):
            target = at(pointer(y), (task * width + b) * n)
            for k in range(n):
                target[k] = 0
            for i in range(w_counts[b]):
                w = w_firsts[b] + i * w_step
                source, value = at(pointer(row), w * n), w_values[w if back else b]
                for k in range(n):
                    target[k] += value * source[k]


def _table(t):
    return array(INT, 1), array(INT, 1), array(t, 1), INT


@entry(lambda t: (given(t, 4), array(t, 4), array(t, 1), *_table(t), *_table(t), INT, INT))
def _map(
    x, y, factor, hs, h_counts, h_values, h_step, ws, w_counts, w_values, w_step, back, threads
):
    tables = (hs, h_counts, h_values, h_step), (ws, w_counts, w_values, w_step)
    parallel(threads, _map_rows, (x, y, factor, *tables, back))


@inner
def _tile_sums_rows(thread, threads, x, y, factor):
    channels, oh, ow, n = y.shape
    first, last = share(thread, threads, channels * oh)
    for row in range(first, last):
        top, out = at(pointer(x), row * 4 * ow * n), at(pointer(y), row * ow * n)
        bottom, f = at(top, 2 * ow * n), factor[row // oh % factor.size]
        if n == 1:
            for j in range(ow):
                out[j] = f * (top[2 * j] + top[2 * j + 1] + (bottom[2 * j] + bottom[2 * j + 1]))
        else:
            for _ in range(ow):
                for k in range(n):
                    out[k] = f * (top[k] + top[n + k] + (bottom[k] + bottom[n + k]))
                top, bottom, out = at(top, 2 * n), at(bottom, 2 * n), at(out, n)


@entry(lambda t: (array(t, 4), array(t, 4), array(t, 1), INT))
def _tile_sums(x, y, factor, threads):
    parallel(threads, _tile_sums_rows, (x, y, factor))


@inner
def _tile_spread_rows(thread, threads, g, dx, factor):
    channels, oh, ow, n = g.shape
    first, last = share(thread, threads, channels * oh)
    for row in range(first, last):
        source, top = at(pointer(g), row * ow * n), at(pointer(dx), row * 4 * ow * n)
        f, bottom = factor[row // oh % factor.size], at(top, 2 * ow * n)
        if n == 1:
            for j in range(ow):
                top[2 * j] = top[2 * j + 1] = f * source[j]
        else:
            for j in range(2 * ow):
                part, out = at(source, j // 2 * n), at(top, j * n)
                for k in range(n):
                    out[k] = f * part[k]
        for k in range(2 * ow * n):
            bottom[k] = top[k]


@entry(lambda t: (given(t, 4), array(t, 4), array(t, 1), INT))
def _tile_spread(g, dx, factor, threads):
    parallel(threads, _tile_spread_rows, (g, dx, factor))


# ---- trainable subsampling -------------------------------------------------------------------


@inner
def _scale_planes(thread, threads, x, coefficient, bias, y):
    first, last = share(thread, threads, x.shape[0])
    for c in range(first, last):
        source, target, f, b = x[c].reshape(-1), y[c].reshape(-1), coefficient[c], bias[c]
        for k in range(source.size):
            target[k] = f * source[k] + b


@entry(lambda t: (array(t, 4), array(t, 1), array(t, 1), array(t, 4), INT))
def _scale(x, coefficient, bias, y, threads):
    parallel(threads, _scale_planes, (x, coefficient, bias, y))


@inner
def _sum_planes(thread, threads, g, sums, dcoefficient, dbias, more):
    first, last = share(thread, threads, g.shape[0])
    for c in range(first, last):
        plane = g[c].reshape(-1)
        products, ones = total_of_products(plane, sums[c].reshape(-1)), total(plane)
        dcoefficient[c] = dcoefficient[c] + products if more else products
        dbias[c] = dbias[c] + ones if more else ones


@entry(lambda t: (given(t, 4), array(t, 4), array(t, 1), array(t, 1), INT, INT))
def _sums(g, sums, dcoefficient, dbias, more, threads):
    parallel(threads, _sum_planes, (g, sums, dcoefficient, dbias, more))


# ---- maximum ---------------------------------------------------------------------------------


@inner
def _beats(x, best):
    """Whether x is the new maximum: the first of equal ones stays, and NaN beats everything."""
    return x > best or x != x


@inner
def _max_rows(thread, threads, x, y, which, geometry):
    channels, oh, ow, n = y.shape
    height, width = x.shape[1], x.shape[2]
    kh, kw, sh, sw, ph, pw, dh, dw = geometry
    first, last = share(thread, threads, channels * oh)
    for task in range(first, last):
        best, place = at(pointer(y), task * ow * n), at(pointer(which), task * ow * n)
        top = task % oh * sh - ph
        first_u = max(
            0, -(top // dh)
        )  # the first that is inside the image, as its windows' first_v
        for j in range(ow):
            first_v = max(0, -((j * sw - pw) // dw))
            for k in range(j * n, j * n + n):
                best[k], place[k] = -np.inf, first_u * kw + first_v
        for u in range(first_u, kh):
            h = top + u * dh
            if h >= height:
                break
            for v in range(kw):
                shift, tap = v * dw - pw, u * kw + v  # from the first window's column
                j_first = max(0, -(shift // sw))
                j_last = min(ow, (width - 1 - shift) // sw + 1)
                source = at(pointer(x), ((task // oh * height + h) * width + shift) * n)
                if n == 1:
                    for j in range(j_first, j_last):
                        if _beats(source[j * sw], best[j]):
                            best[j], place[j] = source[j * sw], tap
                else:
                    for j in range(j_first, j_last):
                        x_j, best_j = at(source, j * sw * n), at(best, j * n)
                        place_j = at(place, j * n)
                        for k in range(n):
                            if _beats(x_j[k], best_j[k]):
                                best_j[k], place_j[k] = x_j[k], tap


@inner
def _max_tile_rows(thread, threads, x, y, which):
    channels, oh, ow, n = y.shape
    first, last = share(thread, threads, channels * oh)
    for row in range(first, last):
        top, best = at(pointer(x), row * 4 * ow * n), at(pointer(y), row * ow * n)
        bottom, place = at(top, 2 * ow * n), at(pointer(which), row * ow * n)
        if n == 1:
            for j in range(ow):
                best[j], place[j] = _best_of(
                    top[2 * j], top[2 * j + 1], bottom[2 * j], bottom[2 * j + 1]
                )
        else:
            for _ in range(ow):
                for k in range(n):
                    best[k], place[k] = _best_of(top[k], top[n + k], bottom[k], bottom[n + k])
                top, bottom = at(top, 2 * n), at(bottom, 2 * n)
                best, place = at(best, n), at(place, n)


@inner
def _best_of(a, b, c, d):
    """The maximum of a 2 x 2 window and its place."""
    best, place = a, 0
    if _beats(b, best):
        best, place = b, 1
    if _beats(c, best):
        best, place = c, 2
    if _beats(d, best):
        best, place = d, 3
    return best, place


@entry(lambda t: (array(t, 4), array(t, 4), array(types.uint8, 4), INT))
def _max_tiles(x, y, which, threads):
    parallel(threads, _max_tile_rows, (x, y, which))


@inner
def _max_tile_spread_rows(thread, threads, g, which, dx):
    channels, oh, ow, n = g.shape
    first, last = share(thread, threads, channels * oh)
    for row in range(first, last):
        source, top = at(pointer(g), row * ow * n), at(pointer(dx), row * 4 * ow * n)
        place, zero = at(pointer(which), row * ow * n), dx.dtype.type(0)
        if n == 1:
            for u in range(2):
                for j in range(ow):
                    top[2 * j] = source[j] if place[j] == 2 * u else zero
                    top[2 * j + 1] = source[j] if place[j] == 2 * u + 1 else zero
                top = at(top, 2 * ow)
        else:
            for u in range(2):
                for j in range(2 * ow):
                    g_j, place_j, tap = at(source, j // 2 * n), at(place, j // 2 * n), 2 * u + j % 2
                    for k in range(n):
                        top[k] = g_j[k] if place_j[k] == tap else zero
                    top = at(top, n)


@entry(lambda t: (given(t, 4), array(types.uint8, 4), array(t, 4), INT))
def _max_tile_spread(g, which, dx, threads):
    parallel(threads, _max_tile_spread_rows, (g, which, dx))


def _max_types(place):
    return lambda t: (array(t, 4), array(t, 4), array(place, 4), array(INT, 1), INT)


def _max_windows(x, y, which, s, threads):
    parallel(threads, _max_rows, (x, y, which, to_fixed_tuple(s, 8)))


@inner
def _max_spread_planes(thread, threads, g, which, dx, geometry, taps, h_counts, w_counts):
    channels, oh, ow, n = g.shape
    _, _, sh, sw, ph, pw, _, _ = geometry
    plane = dx.shape[1] * dx.shape[2] * n
    first, last = share(thread, threads, channels)
    for c in range(first, last):
        out = at(pointer(dx), c * plane)
        for k in range(plane):
            out[k] = 0
        for i in range(oh):
            for j in range(ow):
                if h_counts[i] == 0 or w_counts[j] == 0:
                    continue  # a window of nothing but padding: its winner is outside the image
                window = at(out, ((i * sh - ph) * dx.shape[2] + j * sw - pw) * n)
                place = at(pointer(which), ((c * oh + i) * ow + j) * n)
                source = at(pointer(g), ((c * oh + i) * ow + j) * n)
                for k in range(n):
                    window[taps[place[k]] + k] += source[k]


def _max_spread_types(place):
    return lambda t: (
        given(t, 4), array(place, 4), array(t, 4), *[array(INT, 1)] * 4, INT,
    )  # fmt: skip


def _max_windows_spread(g, which, dx, s, taps, h_counts, w_counts, threads):
    geometry = to_fixed_tuple(s, 8)
    parallel(threads, _max_spread_planes, (g, which, dx, geometry, taps, h_counts, w_counts))


# By the type of a place: a byte, but for windows of more than 255 elements.
PLACES = {np.dtype(np.uint8): types.uint8, np.dtype(np.uint32): types.uint32}
_max = {place: entry(_max_types(kind))(_max_windows) for place, kind in PLACES.items()}
_max_spread = {
    place: entry(_max_spread_types(kind))(_max_windows_spread) for place, kind in PLACES.items()
}


# ---- the layers ------------------------------------------------------------------------------


class Pool(Layer):
    """What all pools share: the geometry, and for sums of windows both directions."""

    def _geometry(self, plan, window, count_padding=True, divisor=1):
        shape = (plan.n, *self.x_shape)
        self.geometry = geometry_of(shape, window, count_padding, divisor, plan.dtype)
        self.threads = plan.threads_for(self.geometry.work, GRAIN)
        return self.geometry

    def _sums(self, plan, x, y):
        if self.geometry.tiled:
            plan.call(_tile_sums, x, y, self.geometry.factor, self.threads)
        else:
            plan.call(_map, x, y, self.geometry.one, *self.geometry.sums, 0, self.threads)

    def _spread(self, plan, g, factor):
        dx = plan.output(self.geometry.x_shape)
        if self.geometry.tiled:
            plan.call(_tile_spread, g, dx, factor, self.threads)
        else:
            plan.call(_map, g, dx, factor, *self.geometry.spread, 1, self.threads)
        return dx


class AvgPool2d(Pool, kernel="avg_pool2d"):
    def forward(self, plan, x, keep):
        y = plan.output(self._geometry(plan, *self.args).y_shape, keep)
        self._sums(plan, x, y)
        return y

    def backward(self, plan, g, dx_wanted):
        return self._spread(
            plan, g, self.geometry.factor if self.geometry.tiled else self.geometry.one
        )


class Subsample2d(Pool, kernel="subsample2d"):
    kept_weights = (0,)

    def forward(self, plan, x, keep):
        shape = self._geometry(plan, *self.args).y_shape
        self.sums, y = plan.memory(shape, plan.saves), plan.output(shape, keep)
        self._sums(plan, x, self.sums)
        grain = plan.threads_for(math.prod(shape), GRAIN)
        plan.call(_scale, self.sums, self.weight(0), self.weight(1), y, grain)
        return y

    def backward(self, plan, g, dx_wanted):
        channels = g.shape[0]
        both = [self.wanted(plan, i, 0) for i in (0, 1)]
        if any(isinstance(d, Place) for d in both):
            both = [d if isinstance(d, Place) else plan.memory((channels,)) for d in both]
            grain = plan.threads_for(math.prod(g.shape), GRAIN)
            plan.call(_sums, g, self.sums, *both, plan.part, grain)
        return self._spread(plan, g, self.weight(0)) if dx_wanted else None


class MaxPool2d(Pool, kernel="max_pool2d"):
    def forward(self, plan, x, keep):
        geometry = self._geometry(plan, *self.args)
        y = plan.output(geometry.y_shape, keep)
        self.which = plan.memory(geometry.y_shape, plan.saves, geometry.place.itemsize)
        if geometry.tiled:
            plan.call(_max_tiles, x, y, self.which, self.threads)
        else:
            function = _max[geometry.place]
            plan.call(function, x, y, self.which, geometry.window, self.threads)
        return y

    def backward(self, plan, g, dx_wanted):
        geometry = self.geometry
        dx = plan.output(geometry.x_shape)
        if geometry.tiled:
            plan.call(_max_tile_spread, g, self.which, dx, self.threads)
        else:
            tables = geometry.window, geometry.taps, geometry.sums[1], geometry.sums[5]
            plan.call(_max_spread[geometry.place], g, self.which, dx, *tables, self.threads)
        return dx
