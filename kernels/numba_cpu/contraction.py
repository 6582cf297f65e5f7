"""The two matrix routines of convolution and linear layers, a register tile at a time.

    outer   c[m, l] = start + sum over u, v, k of a[m, u, v, k] * b[u, v, k, l]
    inner   c[m, n] = sum over i and l of a[m, i, l] * b[n, i, l]

l is the axis along which memory is contiguous, and along which the lanes of a vector lie.  `outer`
keeps it in the result: one number of a meets a vector of b.  `inner` sums over it: a vector of a
meets a vector of b, and the lanes are added up at the end.

        outer        b: 2 vectors                inner      b: 4 vectors
                    [........][........]                   [...] [...] [...] [...]
      a: 8   o      [ tile of 16       ]        a: 6 [...] [ tile of 24          ]
      numbers o     [ vectors stays in ]        vec- [...] [ vectors stays in    ]
              o     [ registers        ]        tors [...] [ registers           ]

Each number loaded is used as often as the tile is high or wide; so the arithmetic, not the memory,
is the limit.  Nothing is copied first (no im2col): the windows of an image are a matrix whose rows
are found by adding offsets to an address.  Source of that idea: Dukhan 2019, "The Indirect
Convolution Algorithm".
"""

from numba import types

from minicnn.kernels.numba_cpu.compiling import INT, inner, shared
from minicnn.kernels.numba_cpu.simd import (
    INNER_COLUMNS,
    INNER_ROWS,
    OUTER_ROWS,
    add_inner,
    add_outer,
    at,
    lanes_of,
    load_tile,
    no_unroll,
    spread_tile,
    store_sums,
    store_tile,
    zero_tile,
)

TABLE = types.CPointer(INT)


# ---- outer products --------------------------------------------------------------------------


@inner
def _outer_tile(rows, columns, count, operands):
    """One tile; its size is a constant when this is compiled."""
    a, a_row, b, us, n_u, vs, n_v, n_k, a_k, b_k, start, start_row, more, c, c_row = operands
    if more:
        tile = load_tile(c, c_row, count, rows, columns)
    else:
        tile = spread_tile(start, start_row, rows, columns)
    for u in range(n_u):
        for v in range(n_v):
            number = at(a, us[2 * u] + vs[2 * v])
            vector = at(b, us[2 * u + 1] + vs[2 * v + 1])
            for _ in range(n_k):
                no_unroll()
                tile = add_outer(tile, number, a_row, vector, count)
                number, vector = at(number, a_k), at(vector, b_k)
    store_tile(tile, c, c_row, count)


@inner
def _outer_rows(rows, columns, count, operands):
    """As high a tile as `rows` fill; returns its height.  LLVM wants each height as a constant."""
    if rows >= 8 and OUTER_ROWS >= 8:
        _outer_tile(8, columns, count, operands)
        return 8
    elif rows >= 6:
        _outer_tile(6, columns, count, operands)
        return 6
    elif rows >= 4:
        _outer_tile(4, columns, count, operands)
        return 4
    elif rows >= 2:
        _outer_tile(2, columns, count, operands)
        return 2
    _outer_tile(1, columns, count, operands)
    return 1


def _outer_types(kind):
    data = types.CPointer(kind)
    return (
        INT,
        INT,
        data,
        INT,
        data,
        TABLE,
        INT,
        TABLE,
        INT,
        INT,
        INT,
        INT,
        data,
        INT,
        INT,
        data,
        INT,
    )


@shared(_outer_types)
def outer(
    rows, run, a, a_row, b, us, n_u, vs, n_v, n_k, a_k, b_k, start, start_row, more, c, c_row
):
    """c[m, l] = start[m] + sum of a[m, u, v, k] b[u, v, k, l], for m < rows and l < run.

    a[m, u, v, k] is at a + m a_row + us[2u] + vs[2v] + k a_k, and b[u, v, k, l] at
    b + us[2u + 1] + vs[2v + 1] + k b_k + l: the tables hold pairs of offsets.  start[m] is at
    start + m start_row; with `more` c itself is what is added to.
    """
    lanes = lanes_of(a)
    for first in range(0, run, 2 * lanes):
        left, a_m, start_m, c_m, b_l = rows, a, start, at(c, first), at(b, first)
        while left > 0:
            operands = (
                a_m, a_row, b_l, us, n_u, vs, n_v, n_k, a_k, b_k,
                start_m, start_row, more, c_m, c_row,
            )  # fmt: skip
            if run - first > lanes:
                height = _outer_rows(left, 2, min(run - first - lanes, lanes), operands)
            else:
                height = _outer_rows(left, 1, run - first, operands)
            left -= height
            a_m, start_m = at(a_m, height * a_row), at(start_m, height * start_row)
            c_m = at(c_m, height * c_row)


# ---- inner products --------------------------------------------------------------------------


@inner
def _inner_tile(rows, columns, operands):
    """One tile; its size is a constant when this is compiled."""
    a, a_row, a_i, b, offsets, b_i, n_i, run, more, c, c_row, c_column = operands
    tile, lanes = zero_tile(a, rows, columns), lanes_of(a)
    whole = run // lanes * lanes
    for i in range(n_i):
        a_first, b_first = at(a, i * a_i), at(b, i * b_i)
        for first in range(0, whole, lanes):
            no_unroll()
            tile = add_inner(tile, at(a_first, first), a_row, at(b_first, first), offsets, None)
        if whole < run:
            left = run - whole
            tile = add_inner(tile, at(a_first, whole), a_row, at(b_first, whole), offsets, left)
    store_sums(tile, c, c_row, c_column, more)


@inner
def _inner_rows(rows, columns, operands):
    """As high a tile as `rows` fill; returns its height."""
    if rows >= 6 and INNER_ROWS >= 6:
        _inner_tile(6, columns, operands)
        return 6
    elif rows >= 4 and INNER_ROWS >= 4:
        _inner_tile(4, columns, operands)
        return 4
    elif rows >= 2:
        _inner_tile(2, columns, operands)
        return 2
    _inner_tile(1, columns, operands)
    return 1


def _inner_types(kind):
    data = types.CPointer(kind)
    return (INT, INT, data, INT, INT, data, TABLE, INT, INT, INT, INT, data, INT, INT)


@shared(_inner_types)
def inner_products(
    rows, columns, a, a_row, a_i, b, offsets, b_i, n_i, run, more, c, c_row, c_column
):  # fmt: skip
    """c[m, n] = sum over i < n_i and l < run of a[m, i, l] b[n, i, l].

    a[m, i, l] is at a + m a_row + i a_i + l, b[n, i, l] at b + offsets[n] + i b_i + l, and c[m, n]
    at c + m c_row + n c_column; with `more` c itself is added to.
    """
    while rows > 0:
        left, c_n, places, height = columns, c, offsets, 1
        while left > 0:
            operands = (a, a_row, a_i, b, places, b_i, n_i, run, more, c_n, c_row, c_column)
            step = INNER_COLUMNS if left >= INNER_COLUMNS else 1
            if step > 1:
                height = _inner_rows(rows, INNER_COLUMNS, operands)
            else:
                height = _inner_rows(rows, 1, operands)
            left, c_n, places = left - step, at(c_n, step * c_column), at(places, step)
        rows, a, c = rows - height, at(a, height * a_row), at(c, height * c_row)
