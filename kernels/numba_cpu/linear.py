"""The linear layer: three matrix products, each in the form in which memory is read along its rows.

Images come batch-last out of a convolution, so after flattening x is (in, M) in memory, M being the
batch; and so is everything here, where the batch fills a vector:

    y  (out, M) = W (out, in) x  (in, M)      outer products, lanes along the batch
    dx (in, M)  = W^T         g  (out, M)     outer products, W read down its columns
    dW (out, in) = g (out, M) x^T (M, in)     outer products, lanes along in: wants x row by row

A smaller batch would leave lanes empty.  Then x is wanted row by row (M, in) in all three, and y is
made of inner products, lanes along in.
"""

from functools import lru_cache

import numpy as np

from minicnn.kernels.numba_cpu.compiling import INT, array, entry, given, inner
from minicnn.kernels.numba_cpu.contraction import inner_products, outer
from minicnn.kernels.numba_cpu.layer import Layer
from minicnn.kernels.numba_cpu.parallel import parallel, share
from minicnn.kernels.numba_cpu.program import Place
from minicnn.kernels.numba_cpu.simd import BYTES, at, pointer
from minicnn.kernels.numba_cpu.sums import total

add_outer, add_inner = outer.call, inner_products.call
NO_OFFSET = np.zeros(2, np.int64)
BLOCK = 64  # columns that a thread takes at once where threads share columns


@lru_cache(maxsize=256)
def rows_apart(rows, width):
    return np.arange(rows, dtype=np.int64) * width


# ---- forward ---------------------------------------------------------------------------------


@inner
def _wide(thread, threads, x, weight, bias, bias_row, y, none):
    (features, m), width = x.shape, weight.shape[1]
    first, last = share(thread, threads, weight.shape[0])
    add_outer(
        last - first, m,
        at(pointer(weight), first * width), width,
        pointer(x), pointer(none), 1, pointer(none), 1, features, 1, m,
        at(pointer(bias), first * bias_row), bias_row, 0,
        at(pointer(y), first * m), m,
    )  # fmt: skip


@entry(
    lambda t: (array(t, 2), array(t, 2), array(t, 1), INT, array(t, 2), array(INT, 1), INT),
    uses=(outer,),
)
def _forward_wide(x, weight, bias, bias_row, y, none, threads):
    parallel(threads, _wide, (x, weight, bias, bias_row, y, none))


@inner
def _narrow(thread, threads, x, weight, bias, bias_row, y, offsets):
    m, width = x.shape
    first, last = share(thread, threads, weight.shape[0])
    for o in range(first, last):
        for i in range(m):
            y[o, i] = bias[o * bias_row]
    add_inner(
        last - first, m,
        at(pointer(weight), first * width), width, 0,
        pointer(x), pointer(offsets), 0, 1, width, 1,
        at(pointer(y), first * m), m, 1,
    )  # fmt: skip


@entry(
    lambda t: (array(t, 2), array(t, 2), array(t, 1), INT, array(t, 2), array(INT, 1), INT),
    uses=(inner_products,),
)
def _forward_narrow(x, weight, bias, bias_row, y, offsets, threads):
    parallel(threads, _narrow, (x, weight, bias, bias_row, y, offsets))


# ---- backward --------------------------------------------------------------------------------


@inner
def _dx_wide_rows(thread, threads, g, weight, zero, dx, none):
    (o, m), width = g.shape, weight.shape[1]
    first, last = share(thread, threads, width)
    add_outer(
        last - first, m,
        at(pointer(weight), first), 1,
        pointer(g), pointer(none), 1, pointer(none), 1, o, width, m,
        pointer(zero), 0, 0,
        at(pointer(dx), first * m), m,
    )  # fmt: skip


@inner
def _dx_narrow_columns(thread, threads, g, weight, zero, dx, none):
    (o, m), width = g.shape, weight.shape[1]
    first, last = share(thread, threads, (width + BLOCK - 1) // BLOCK)
    first, last = first * BLOCK, min(last * BLOCK, width)
    add_outer(
        m, last - first,
        pointer(g), 1,
        at(pointer(weight), first), pointer(none), 1, pointer(none), 1, o, m, width,
        pointer(zero), 0, 0,
        at(pointer(dx), first), width,
    )  # fmt: skip


@inner
def _dw_rows(thread, threads, g, x, zero, dw, more, none):
    (o, m), width = g.shape, x.shape[1]
    first, last = share(thread, threads, o)
    add_outer(
        last - first, width,
        at(pointer(g), first * m), m,
        pointer(x), pointer(none), 1, pointer(none), 1, m, 1, width,
        pointer(zero), 0, more,
        at(pointer(dw), first * width), width,
    )  # fmt: skip


@entry(
    lambda t: (
        given(t, 2), array(t, 2), array(t, 2), array(t, 1),
        array(t, 2), array(t, 2), array(t, 1), INT, INT, array(INT, 1), INT,
    ),
    uses=(outer,),
)  # fmt: skip
def _backward(g, x, weight, zero, dx, dw, db, wide, more, none, threads):
    """Fills those of dx, dw and db that have room for something; with `more` adds to dw and db."""
    if dx.size and wide:
        parallel(threads, _dx_wide_rows, (g, weight, zero, dx, none))
    elif dx.size:
        parallel(threads, _dx_narrow_columns, (g, weight, zero, dx, none))
    if dw.size:
        parallel(threads, _dw_rows, (g, x, zero, dw, more, none))
    for o in range(db.size):
        db[o] = db[o] + total(g[o]) if more else total(g[o])


# ---- the layer -------------------------------------------------------------------------------


class Linear(Layer, kernel="linear"):
    """The calls of a fully connected layer."""

    keeps_input = True
    kept_weights = (0,)

    def forward(self, plan, x, keep):
        (out, width), n, bias = self.shapes[0], plan.n, self.weight(1)
        self.x, self.wide = x, n * plan.dtype.itemsize >= BYTES
        self.threads = plan.threads_for(n * width * out)
        rows = self.x if self.wide else plan.rows(self.x)
        y = plan.output((out, n), keep)
        function = _forward_wide if self.wide else _forward_narrow
        offsets = NO_OFFSET if self.wide else rows_apart(n, width)
        plan.call(
            function, rows, self.weight(0), plan.zero if bias is None else bias,
            int(bias is not None), y, offsets, self.threads,
        )  # fmt: skip
        return y

    def backward(self, plan, g, dx_wanted):
        (_, width), n = self.shapes[0], plan.n
        dw, db = self.wanted(plan, 0, 0, 0), self.wanted(plan, 1, 0)
        rows, dx = dw, np.empty((0, 0), plan.dtype)
        if isinstance(dw, Place):
            rows = plan.rows(self.x)
        if dx_wanted:
            shape = (width, n) if self.wide else (n, width)
            dx = plan.output(shape) if self.wide or n == 1 else plan.memory(shape)
        plan.call(
            _backward, g, rows, self.weight(0), plan.zero, dx, dw, db, int(self.wide),
            plan.part, NO_OFFSET, self.threads,
        )  # fmt: skip
        if not dx_wanted:
            return None
        return dx.seen_as(width, n) if self.wide or n == 1 else plan.rows(dx)
