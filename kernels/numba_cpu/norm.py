"""Batch normalisation and dropout.

Batch normalisation works on (C, L, N) memory, where a channel is one run of numbers:

    channel 0  | x x x x x x x x x |   three passes: the mean, the variance about it, y
    channel 1  | x x x x x x x x x |

Dropout's mask is a pure function of seed, offset and place in the array's *logical* order, whatever
the memory's: Philox makes four words of each counter, and word 4i + k decides about number 4i + k.
"""

import math

import numpy as np
from numba import types

from minicnn.kernels.numba_cpu.activation import flat, like
from minicnn.kernels.numba_cpu.compiling import FLOAT, INT, array, entry, given, inner
from minicnn.kernels.numba_cpu.layout import batch_last, given_batch_last, ordered
from minicnn.kernels.numba_cpu.parallel import parallel, share, share_numbers
from minicnn.kernels.numba_cpu.simd import at, pointer
from minicnn.kernels.numba_cpu.sums import total, total_of_products, total_of_squares
from minicnn.kernels.reference import Saved
from minicnn.kernels.threads import threads_for

GRAIN = 60_000  # numbers per thread


# ---- batch normalisation ---------------------------------------------------------------------


@inner
def _norm_planes(thread, threads, x, weight, bias, mean, var, own, eps, x_hat, inv_std, y):
    one = x.dtype.type(1)
    first, last = share(thread, threads, x.shape[0])
    for c in range(first, last):
        plane = x[c].reshape(-1)
        count = x.dtype.type(plane.size)
        if own:
            mean[c] = total(plane) / count
            var[c] = total_of_squares(plane, mean[c]) / count
        inv_std[c] = one / math.sqrt(var[c] + eps)
        m, factor, w, b = mean[c], inv_std[c], weight[c % weight.size], bias[c % bias.size]
        hats, ys = x_hat[c].reshape(-1), y[c].reshape(-1)
        for i in range(plane.size):
            hat = (plane[i] - m) * factor
            hats[i] = hat
            ys[i] = w * hat + b


@entry(
    lambda t: (
        array(t, 4),
        *[array(t, 1)] * 4,
        INT,
        FLOAT,
        array(t, 4),
        array(t, 1),
        array(t, 4),
        INT,
    )
)
def _norm(x, weight, bias, mean, var, own, eps, x_hat, inv_std, y, threads):
    eps = x.dtype.type(eps)
    parallel(threads, _norm_planes, (x, weight, bias, mean, var, own, eps, x_hat, inv_std, y))


def _memory(x, bring):
    """(C, 1, L, N) memory of (N, C, L)."""
    return bring(x[:, :, None])


def _user(memory):
    """(N, C, L), as the user sees (C, 1, L, N)."""
    return memory[:, 0].transpose(2, 0, 1)


def batch_norm(x, weight, bias, mean, var, eps):
    """As in the reference."""
    memory, kind, channels, own = _memory(x, batch_last), x.dtype, x.shape[1], mean is None
    given_weight = None if weight is None else ordered(weight)
    w = np.ones(1, kind) if weight is None else given_weight
    b = np.zeros(1, kind) if bias is None else ordered(bias)
    if own:
        mean, var = np.empty(channels, kind), np.empty(channels, kind)
    mean, var = mean.astype(kind, copy=False), var.astype(kind, copy=False)
    x_hat, y, inv_std = np.empty_like(memory), np.empty_like(memory), np.empty(channels, kind)
    threads = threads_for(x.size, GRAIN)
    _norm[kind](
        memory, w, b, ordered(mean), ordered(var), int(own), eps, x_hat, inv_std, y, threads
    )
    held = () if weight is None else (weight,)
    return (_user(y), mean, var), Saved(x_hat, inv_std, given_weight, own, inputs=held)


@inner
def _norm_backward_planes(thread, threads, g, x_hat, inv_std, weight, own, dx, dw, db):
    first, last = share(thread, threads, g.shape[0])
    for c in range(first, last):
        gs, hats, out = g[c].reshape(-1), x_hat[c].reshape(-1), dx[c].reshape(-1)
        count, w = g.dtype.type(gs.size), weight[c % weight.size]
        dw[c], db[c] = total_of_products(gs, hats), total(gs)
        factor = inv_std[c]
        through_mean, through_var = db[c] * w / count, dw[c] * w / count
        if own:
            for i in range(out.size):
                out[i] = (gs[i] * w - through_mean - hats[i] * through_var) * factor
        else:
            for i in range(out.size):
                out[i] = gs[i] * w * factor


@entry(
    lambda t: (
        given(t, 4),
        array(t, 4),
        array(t, 1),
        array(t, 1),
        INT,
        array(t, 4),
        array(t, 1),
        array(t, 1),
        INT,
    )
)
def _norm_backward(g, x_hat, inv_std, weight, own, dx, dw, db, threads):
    parallel(threads, _norm_backward_planes, (g, x_hat, inv_std, weight, own, dx, dw, db))


def batch_norm_backward(g, saved, needs):
    """As in the reference."""
    x_hat, inv_std, weight, own = saved.state
    kind = g.dtype
    w = np.ones(1, kind) if weight is None else weight
    dx, dw, db = np.empty_like(x_hat), np.empty_like(inv_std), np.empty_like(inv_std)
    threads = threads_for(g.size, GRAIN)
    _norm_backward[kind](
        _memory(g, given_batch_last), x_hat, inv_std, w, int(own), dx, dw, db, threads
    )
    return _user(dx) if needs[0] else None, dw if needs[1] else None, db if needs[2] else None


# ---- dropout ---------------------------------------------------------------------------------

MASK, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
BLOCK = 512  # counters at a time, so that their words stay in the cache
ROUNDS = 10


@inner
def _rounds(count, c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 on a block of counters, in place; 32 bits in each number of 64."""
    for _ in range(ROUNDS):
        for i in range(count):
            p0, p1 = M0 * c0[i], M1 * c2[i]
            c0[i], c1[i] = (p1 >> SHIFT) ^ c1[i] ^ k0, p1 & MASK
            c2[i], c3[i] = (p0 >> SHIFT) ^ c3[i] ^ k1, p0 & MASK
        k0, k1 = (k0 + W0) & MASK, (k1 + W1) & MASK


@inner
def _byte(word, threshold, place):
    """Byte `place` of a number of 32 bits is 1 where the word reaches the threshold."""
    return np.uint32(word >= threshold) << np.uint32(8 * place)


@inner
def _keep_part(thread, threads, keep, offset, k0, k1, threshold):
    """Byte k of keep[i] says whether word k of counter offset + i reaches the threshold."""
    first, last = share_numbers(thread, threads, keep.size)
    words = np.empty((4, BLOCK), np.uint64)
    c0, c1, c2, c3 = words[0], words[1], words[2], words[3]
    for start in range(first, last, BLOCK):
        count = min(BLOCK, last - start)
        for i in range(count):
            counter = offset + np.uint64(start + i)
            c0[i], c1[i], c2[i], c3[i] = counter & MASK, counter >> SHIFT, 0, 0
        _rounds(count, c0, c1, c2, c3, k0, k1)
        out = at(pointer(keep), start)
        for i in range(count):
            low = _byte(c0[i], threshold, 0) | _byte(c1[i], threshold, 1)
            out[i] = low | _byte(c2[i], threshold, 2) | _byte(c3[i], threshold, 3)


@entry(lambda t: (array(types.uint32, 1), *[INT] * 6))
def _keep(keep, low, high, k0, k1, threshold, threads):
    offset = np.uint64(high) << SHIFT | np.uint64(low)
    key = np.uint64(k0), np.uint64(k1)
    parallel(threads, _keep_part, (keep, offset, *key, np.uint64(threshold)))


def _mask(shape, size, dtype, p, seed, offset, threads):
    """1 where an element is kept, else 0, in the logical order of an array of this shape."""
    keep = np.empty(-(-size // 4), "<u4")  # four elements in each, as the words come
    key = seed & 0xFFFFFFFF, seed >> 32
    _keep[dtype](keep, offset & 0xFFFFFFFF, offset >> 32, *key, math.ceil(p * 2.0**32), threads)
    return keep.view(np.uint8)[:size].reshape(shape)


@inner
def _masked_part(thread, threads, x, keep, y, factor):
    first, last = share_numbers(thread, threads, x.size)
    x, keep, y = at(pointer(x), first), at(pointer(keep), first), at(pointer(y), first)
    for i in range(last - first):
        y[i] = x[i] * (
            factor if keep[i] else 0 * factor
        )  # a product: NaN stays, even where dropped


@entry(lambda t: (given(t, 1), array(types.uint8, 1), array(t, 1), FLOAT, INT))
def _masked(x, keep, y, factor, threads):
    parallel(threads, _masked_part, (x, keep, y, x.dtype.type(factor)))


def dropout(x, p, seed, offset):
    """As in the reference."""
    x, memory = flat(x)
    threads = threads_for(x.size, GRAIN)
    keep = _mask(x.shape, x.size, x.dtype, p, seed, offset, threads)
    if not x.flags.c_contiguous:
        keep, logical = np.empty_like(x, np.uint8), keep
        keep[...] = logical
    factor = 1 / (1 - p) if p < 1 else 0.0
    y = np.empty_like(x)
    _masked[x.dtype](memory, keep.ravel("K"), y.ravel("K"), factor, threads)
    return y, Saved(keep, factor)


def dropout_backward(g, saved, needs):
    """As in the reference."""
    keep, factor = saved.state
    dx = np.empty_like(keep, g.dtype)
    threads = threads_for(g.size, GRAIN)
    _masked[g.dtype](like(g, dx), keep.ravel("K"), dx.ravel("K"), factor, threads)
    return (dx,)
