"""The optimisers' updates, in place: one pass over p, g and the running means.

          g ---+                         Each number of p is read once and written once; in NumPy
    v ---> v' -+--> p'                   every operation of the formula is a pass of its own.
          p ---+

They are called once for each parameter in each step, mostly with few numbers: the Python here is
as short as can be.
"""

import math

from numba import types

from .. import reference
from ..threads import threads_for
from .compiling import FLOAT, INT, array, entry, inner
from .layout import ordered
from .parallel import parallel, share_numbers
from .simd import at, pointer

BOOL = types.boolean
GRAIN = 50_000  # numbers per thread


@inner
def _decayed(g, p, weight_decay):
    return g + weight_decay * p if weight_decay != 0 else g  # 0 times infinity would be NaN


# ---- stochastic gradient descent -------------------------------------------------------------


@inner
def _plain_part(thread, threads, p, g, lr, weight_decay):
    first, last = share_numbers(thread, threads, p.size)
    p, g = at(pointer(p), first), at(pointer(g), first)
    for i in range(last - first):
        p[i] -= lr * _decayed(g[i], p[i], weight_decay)


@entry(lambda t: (array(t, 1), array(t, 1), FLOAT, FLOAT, INT))
def _plain(p, g, lr, weight_decay, threads):
    t = p.dtype.type
    parallel(threads, _plain_part, (p, g, t(lr), t(weight_decay)))


@inner
def _momentum_part(thread, threads, p, g, velocity, numbers, begins, nesterov):
    lr, momentum, fresh, weight_decay = numbers
    first, last = share_numbers(thread, threads, p.size)
    p, g, velocity = at(pointer(p), first), at(pointer(g), first), at(pointer(velocity), first)
    for i in range(last - first):
        d = _decayed(g[i], p[i], weight_decay)
        v = d if begins else momentum * velocity[i] + fresh * d
        velocity[i] = v
        p[i] -= lr * (d + momentum * v if nesterov else v)


@entry(
    lambda t: (
        array(t, 1), array(t, 1), array(t, 1), FLOAT, FLOAT, FLOAT, FLOAT, BOOL, BOOL, INT,
    )
)  # fmt: skip
def _momentum(p, g, velocity, lr, momentum, fresh, weight_decay, begins, nesterov, threads):
    t = p.dtype.type
    numbers = t(lr), t(momentum), t(fresh), t(weight_decay)
    parallel(threads, _momentum_part, (p, g, velocity, numbers, begins, nesterov))


def sgd(p, g, velocity, first, lr, momentum, dampening, weight_decay, nesterov):
    """As in the reference."""
    kind, threads = p.dtype, 1 if p.size < 2 * GRAIN else threads_for(p.size, GRAIN)
    g = g if g.flags.carray else ordered(g)
    if not p.flags.carray or g.dtype != kind:
        reference.sgd(p, g, velocity, first, lr, momentum, dampening, weight_decay, nesterov)
    elif velocity is None:
        _plain[kind](p.ravel(), g.ravel(), lr, weight_decay, threads)
    elif not velocity.flags.carray or velocity.dtype != kind:
        reference.sgd(p, g, velocity, first, lr, momentum, dampening, weight_decay, nesterov)
    else:
        _momentum[kind](
            p.ravel(), g.ravel(), velocity.ravel(),
            lr, momentum, 1 - dampening, weight_decay, first, nesterov, threads,
        )  # fmt: skip


# ---- Adam ------------------------------------------------------------------------------------


@inner
def _adam_part(thread, threads, p, g, m, v, numbers):
    keep, weight_decay, new_m, beta2, new_v, root, eps, rate = numbers
    first, last = share_numbers(thread, threads, p.size)
    p, g, m, v = (
        at(pointer(p), first),
        at(pointer(g), first),
        at(pointer(m), first),
        at(pointer(v), first),
    )
    for i in range(last - first):
        before = p[i] * keep
        d = _decayed(g[i], before, weight_decay)
        m_i = m[i] + new_m * (d - m[i])
        v_i = v[i] * beta2 + new_v * d * d
        m[i], v[i] = m_i, v_i
        p[i] = before - rate * m_i / (math.sqrt(v_i) / root + eps)


@entry(lambda t: (*[array(t, 1)] * 4, *[FLOAT] * 8, INT))
def _adam(p, g, m, v, keep, weight_decay, new_m, beta2, new_v, root, eps, rate, threads):
    t = p.dtype.type
    numbers = (
        t(keep), t(weight_decay), t(new_m), t(beta2), t(new_v), t(root), t(eps), t(rate),
    )  # fmt: skip
    parallel(threads, _adam_part, (p, g, m, v, numbers))


def adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled):
    """As in the reference."""
    kind = p.dtype
    ours = p.flags.carray and m.flags.carray and v.flags.carray
    if not (ours and g.dtype == m.dtype == v.dtype == kind):
        reference.adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled)
        return
    keep, weight_decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    root, rate = (1 - beta2**step) ** 0.5, lr / (1 - beta1**step)
    g = g if g.flags.carray else ordered(g)
    _adam[kind](
        p.ravel(), g.ravel(), m.ravel(), v.ravel(),
        keep, weight_decay, 1 - beta1, beta2, 1 - beta2, root, eps, rate,
        1 if p.size < 2 * GRAIN else threads_for(p.size, GRAIN),
    )  # fmt: skip
