"""Matrix products: tiles of gemm.cu for small ones, cuBLAS for large ones."""

import math
from typing import NamedTuple

import numpy as np

from minicnn.arrays import Array, module_of
from minicnn.kernels.cuda.activation import IDENTITY
from minicnn.kernels.cuda.launch import THREADS, contiguous, empty, grid_of, launch
from minicnn.shapes import Shape

CUBLAS = 2**28  # multiply-adds: a larger product is worth more than a launch of its own
BLOCKS = 256  # that keep any GPU busy
SHARE = 1024  # steps along k that are worth a block of their own
MAX_SHARES = 64


class Tile(NamedTuple):
    """A tile of gemm.cuh: its kernel, and how many rows and columns of the product it has."""

    kernel: str
    size: int

    def covering(self, m: int, n: int) -> int:
        """How many tiles cover m rows and n columns."""
        return -(-m // self.size) * -(-n // self.size)


SMALL, LARGE = Tile("product_small", 16), Tile("product_large", 64)


def product(
    a: Array,
    b: Array,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: Array | None = None,
    f: np.ndarray | None = None,
    out: Array | None = None,
) -> Array:
    """f(a b + bias), two matrices or as many pairs as there are along a first axis.

    A product of more than 2^28 multiply-adds is cuBLAS's, by way of CuPy, in the element type of
    the arrays: without TF32 unless backends.cuda.matmul.allow_tf32 is set.  CuPy refuses that while
    a CUDA graph is captured.

    Parameters
    ----------
    a, b
        (m, k) and (k, n), or (batch, m, k) and (batch, k, n), in C order.
    transpose_a, transpose_b
        Whether a is given as (k, m), b as (n, k).
    bias
        One number for each of the n columns.
    f
        An Activation, as a struct.
    out
        Where the result goes, in C order; new memory if not given.
    """
    m, k = a.shape[-2:][::-1] if transpose_a else a.shape[-2:]
    n = b.shape[-2 if transpose_b else -1]
    y = empty((*a.shape[:-2], m, n), a) if out is None else out
    if not y.size:
        return y
    f = IDENTITY if f is None else f
    if m * n * k > CUBLAS:
        _by_cublas(a, b, transpose_a, transpose_b, y)
        if bias is not None or f is not IDENTITY:
            _add_shares(y, 1, y, bias, f)
        return y
    items = math.prod(a.shape[:-2])
    tile, share = plan(m, n, k, items)
    shares = max(-(-k // share), 1)  # with k = 0 there is still a bias to write
    steps_a, steps_b = (1, m) if transpose_a else (k, 1), (k, 1) if transpose_b else (1, n)
    each = y if shares == 1 else empty((shares, *y.shape), y)
    launch(
        "gemm", tile.kernel, a.dtype, (items * tile.covering(m, n), shares), THREADS,
        a, *steps_a, b, *steps_b, each, m, n, k, share,
        *((bias, f) if shares == 1 else (None, IDENTITY)),
    )  # fmt: skip
    if shares > 1:
        _add_shares(each, shares, y, bias, f)
    return y


def matmul(a: Array, b: Array) -> Array:
    """a b over the last two dimensions, of any order in memory; those before them broadcast."""
    if b.ndim == 1:
        return matmul(a, b[:, None])[..., 0]
    if a.ndim == 1:
        return matmul(a[None], b)[..., 0, :]
    if b.ndim == 2 < a.ndim:  # all rows of a in one product
        rows = matmul(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b)
        return rows.reshape(*a.shape[:-1], b.shape[1])
    before = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (a, transpose_a), (b, transpose_b) = (_as_it_lies(x, before) for x in (a, b))
    y = product(a, b, transpose_a, transpose_b)
    return y.reshape(*before, *y.shape[-2:])


def _as_it_lies(x: Array, before: Shape) -> tuple[Array, bool]:
    """x repeated to these dimensions before its matrices, as one; and whether it is transposed."""
    if before:
        shape = math.prod(before), *x.shape[-2:]
        x = module_of(x).broadcast_to(x, (*before, *x.shape[-2:])).reshape(shape)
    turned = not x.flags.c_contiguous and x.swapaxes(-1, -2).flags.c_contiguous
    return contiguous(x.swapaxes(-1, -2) if turned else x), turned


def plan(m: int, n: int, k: int, items: int) -> tuple[Tile, int]:
    """Which tile, and how many steps along k a block takes.

    Large tiles read least, but only as many blocks as there are tiles can work at once.  Where even
    the small ones are too few, several blocks share the steps along k.
    """
    possible = min(max(k // SHARE, 1), MAX_SHARES)
    many = LARGE.covering(m, n) * items * possible >= BLOCKS // 4
    tile = LARGE if many and min(m, n) > LARGE.size // 2 else SMALL
    shares = min(possible, -(-BLOCKS // (tile.covering(m, n) * items)))
    share = -(-max(k, 1) // shares)
    return tile, share


def add_up(parts: Array) -> Array:
    """The sum over the first axis, in order."""
    if len(parts) == 1:
        return parts[0]
    y = empty(parts.shape[1:], parts)
    _add_shares(parts, len(parts), y, None, IDENTITY)
    return y


def _add_shares(shares: Array, count: int, y: Array, bias: Array | None, f: np.ndarray) -> None:
    launch(
        "gemm", "add_shares", y.dtype, grid_of(y.size), THREADS,
        shares, count, y, y.size, y.shape[-1], bias, f,
    )  # fmt: skip


def _by_cublas(a: Array, b: Array, transpose_a: bool, transpose_b: bool, y: Array) -> None:
    """One product after another: CuPy reads transposed matrices as they are, but not many."""
    pairs = ((a, b, y),) if a.ndim == 2 else zip(a, b, y, strict=True)
    for one, other, to in pairs:
        left, right = one.T if transpose_a else one, other.T if transpose_b else other
        module_of(y).dot(left, right, out=to)
