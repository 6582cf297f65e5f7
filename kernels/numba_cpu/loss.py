"""Softmax and cross-entropy in one, on logits that lie class by class, (C, M), as from `linear`.

              m = 0  1  2  3 ..
    class 0  [ z  z  z  z ..  ]     every loop runs along m: a vector holds one class's logits of 16
    class 1  [ z  z  z  z ..  ]     predictions, and maximum, sum and loss are vectors too
    class 2  [ z  z  z  z ..  ]

A maximum and a sum over the classes are then loops over rows, with no sum inside a vector.
"""

import math

import numpy as np

from ..reference import Saved, no_class, per_row, reduced
from ..threads import threads_for
from .compiling import FLOAT, INT, array, entry, inner
from .layout import ordered, turned
from .maths import exp
from .parallel import parallel, share_numbers
from .simd import at, pointer

BLOCK = 512  # predictions at a time, so that their logits stay in the cache
GRAIN = 20_000  # logits per thread


@inner
def _losses_part(thread, threads, z, q, log_p, losses):
    classes, rows = z.shape
    first, last = share_numbers(thread, threads, rows)
    shift, zero = np.empty(BLOCK, z.dtype), z.dtype.type(0)
    for start in range(first, last, BLOCK):
        count, loss = min(BLOCK, last - start), at(pointer(losses), start)
        for m in range(count):
            shift[m], loss[m] = -np.inf, 0
        for c in range(classes):
            z_c = at(pointer(z), c * rows + start)
            for m in range(count):
                shift[m] = z_c[m] if z_c[m] > shift[m] or z_c[m] != z_c[m] else shift[m]
        for c in range(classes):
            z_c, log_p_c = at(pointer(z), c * rows + start), at(pointer(log_p), c * rows + start)
            for m in range(count):
                log_p_c[m] = z_c[m] - shift[m]
                loss[m] += exp(log_p_c[m])
        for m in range(count):
            shift[m], loss[m] = math.log(loss[m]), 0
        for c in range(classes):
            q_c, log_p_c = at(pointer(q), c * rows + start), at(pointer(log_p), c * rows + start)
            for m in range(count):
                log_p_c[m] -= shift[m]
                # Not 0 times -inf, which would be NaN.
                loss[m] -= q_c[m] * log_p_c[m] if q_c[m] != zero else zero


@entry(lambda t: (array(t, 2), array(t, 2), array(t, 2), array(t, 1), INT))
def _losses(z, q, log_p, losses, threads):
    parallel(threads, _losses_part, (z, q, log_p, losses))


def _classes_first(x):
    """(C, M) memory of (M, C)."""
    return x.T if x.T.flags.carray else turned(x)


def softmax_cross_entropy(logits, q):
    """As in the reference."""
    z, q_t, kind = _classes_first(logits), _classes_first(q), logits.dtype
    log_p, losses = np.empty(z.shape, kind), np.empty(len(q), kind)
    _losses[kind](z, q_t, log_p, losses, threads_for(z.size, GRAIN))
    return losses, Saved(log_p, q_t, inputs=(q,))


@inner
def _dz_part(thread, threads, g, log_p, q, dz):
    """dz = g (softmax(z) sum(q) - q)."""
    classes, rows = dz.shape
    first, last = share_numbers(thread, threads, rows)
    q_sum, g = np.empty(BLOCK, dz.dtype), at(pointer(g), 0)
    for start in range(first, last, BLOCK):
        count = min(BLOCK, last - start)
        for m in range(count):
            q_sum[m] = 0
        for c in range(classes):
            q_c = at(pointer(q), c * rows + start)
            for m in range(count):
                q_sum[m] += q_c[m]
        for c in range(classes):
            place = c * rows + start
            q_c, log_p_c = at(pointer(q), place), at(pointer(log_p), place)
            dz_c, g_c = at(pointer(dz), place), at(g, start)
            for m in range(count):
                dz_c[m] = g_c[m] * (exp(log_p_c[m]) * q_sum[m] - q_c[m])


@entry(lambda t: (array(t, 1), array(t, 2), array(t, 2), array(t, 2), INT))
def _dz(g, log_p, q, dz, threads):
    parallel(threads, _dz_part, (g, log_p, q, dz))


@inner
def _dq_part(thread, threads, g, log_p, dq):
    """dq = -g log softmax(z)."""
    first, last = share_numbers(thread, threads, dq.shape[0])
    for c in range(first, last):
        source, target = log_p[c], dq[c]
        for m in range(g.size):
            target[m] = -g[m] * source[m]


@entry(lambda t: (array(t, 1), array(t, 2), array(t, 2), INT))
def _dq(g, log_p, dq, threads):
    parallel(threads, _dq_part, (g, log_p, dq))


def softmax_cross_entropy_backward(g, saved, needs):
    """As in the reference."""
    log_p, q = saved.state
    g, kind, threads = ordered(g), log_p.dtype, threads_for(log_p.size, GRAIN)
    dz = dq = None
    if needs[0]:
        dz = np.empty(log_p.shape, kind)
        _dz[kind](g, log_p, q, dz, threads)
        dz = dz.T
    if needs[1]:
        dq = np.empty(log_p.shape, kind)
        _dq[kind](g, log_p, dq, threads)
        dq = dq.T
    return dz, dq


# ---- class indices ---------------------------------------------------------------------------


@entry(lambda t: (array(INT, 1), array(t, 1), INT, FLOAT, array(t, 2), array(t, 1), array(INT, 1)))
def _target_rows(labels, weight, ignored, smoothing, q, total, wrong):
    """As the reference's, class by class; `wrong` is the first row whose label is no class."""
    classes, rows = q.shape
    rest = q.dtype.type(smoothing / classes)
    most = q.dtype.type(1 - smoothing)
    wrong[0], total[0] = -1, 0
    for m in range(rows):
        label, counts = labels[m], labels[m] != ignored
        if counts and not 0 <= label < classes:
            wrong[0] = m
            return
        for c in range(classes):
            q[c, m] = rest * weight[c % weight.size] if counts else 0
        if counts:
            w = weight[label % weight.size]
            q[label, m] += most * w
            total[0] += w


def cross_entropy(logits, labels, weight, ignore_index, reduction, label_smoothing):
    """As in the reference."""
    z, kind = _classes_first(logits), logits.dtype
    labels = ordered(labels.astype(np.int64, copy=False))
    w = np.ones(1, kind) if weight is None else ordered(weight)
    q, total, wrong = np.empty(z.shape, kind), np.empty(1, kind), np.empty(1, np.int64)
    _target_rows[kind](labels, w, ignore_index, label_smoothing, q, total, wrong)
    if wrong[0] >= 0:
        raise no_class(int(labels[wrong[0]]), len(z), ignore_index)
    log_p, losses = np.empty(z.shape, kind), np.empty(len(labels), kind)
    _losses[kind](z, q, log_p, losses, threads_for(z.size, GRAIN))
    y = reduced(losses, reduction, float(total[0]))
    return y, Saved(Saved(log_p, q), reduction, float(total[0]))


def cross_entropy_backward(g, saved, needs):
    """As in the reference."""
    inner, reduction, total = saved.state
    g = per_row(g, inner.state[0].shape[1], reduction, total)
    return softmax_cross_entropy_backward(g, inner, (True, False))[:1]
