"""x[index] with index arrays: out of range is an error, and repeated places have an order.

CuPy by itself lets indices wrap around, writes any one of several values for an element, and adds
floats atomically, in any order.
"""

from typing import Any

import numpy as np

from minicnn.arrays import Array, is_array, module_of
from minicnn.kernels import recording
from minicnn.kernels.cuda.launch import THREADS, contiguous, grid_of, launch


def _arrays_in(index: tuple) -> tuple:
    """The index with lists as arrays, which stay on the host."""
    return tuple(np.array(i, None if i else np.int64) if isinstance(i, list) else i for i in index)


def _may_repeat(index: tuple) -> bool:
    """Whether the index holds arrays of integers: masks choose each element once."""
    return any(is_array(i) and i.dtype.kind in "iu" for i in index)


def _width(part: Any) -> int:
    """How many axes a part of an index speaks of; ... not counted."""
    if part is None or part is ... or isinstance(part, bool):
        return 0
    return part.ndim if is_array(part) and part.dtype.kind == "b" else 1


def _check_integers(x: Array, index: tuple) -> None:
    """An IndexError for integers in arrays that are out of range.

    For arrays on the GPU the host waits; while a graph is captured it cannot, and they wrap around.
    """
    widths, axis = [_width(part) for part in index], 0
    for part, width in zip(index, widths, strict=True):
        if axis < x.ndim and is_array(part) and part.dtype.kind in "iu" and part.size:
            n, (lowest, highest) = x.shape[axis], _extremes(part)
            if lowest < -n or highest >= n:
                wrong = lowest if lowest < -n else highest
                raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {n}")
        axis += x.ndim - sum(widths) if part is ... else width


def _extremes(a: Array) -> tuple[int, int]:
    """The lowest and the highest of some integers; of those that nobody can look at, 0."""
    if module_of(a) is np:
        return int(a.min()), int(a.max())
    if recording.active is not None:
        return 0, 0
    lowest, highest = module_of(a).stack([a.min(), a.max()]).tolist()
    return lowest, highest


def take_at(x: Array, index: tuple) -> Array:
    """As in the reference; IndexError for an integer out of range."""
    index = _arrays_in(index)
    _check_integers(x, index)
    return x[index]


def _places(x: Array, index: tuple) -> tuple[Array, Array]:
    """The places in x that the index chooses, as flat indices, and their stable order."""
    xp = module_of(x)
    places = xp.arange(x.size).reshape(x.shape)[index]
    return places, xp.argsort(places.ravel(), kind="stable")


def put_at(x: Array, index: tuple, values: Any) -> None:
    """As in the reference; IndexError for an integer out of range."""
    index = _arrays_in(index)
    _check_integers(x, index)
    if not _may_repeat(index) or not is_array(values) or values.size == 1:
        x[index] = values
        return
    xp = module_of(x)
    places, order = _places(x, index)
    while values.ndim > places.ndim and len(values) == 1:
        values = values[0]
    values = xp.broadcast_to(values, places.shape)
    if places.size:  # all that go to one place write what its last one writes
        flat = places.ravel()
        last = order[xp.searchsorted(flat[order], flat, side="right") - 1]
        values = values.ravel()[last].reshape(places.shape)
    x[index] = values


def add_at(x: Array, index: tuple, values: Array) -> None:
    """As in the reference, with each element's values added up in their order.

    A thread adds all that goes to one element, so it is slow where very many go to a few.
    """
    index = _arrays_in(index)
    if not _may_repeat(index):
        x[index] += values
        return
    xp = module_of(x)
    places, order = _places(x, index)
    if not places.size:
        return
    values = contiguous(xp.broadcast_to(values.astype(x.dtype, copy=False), places.shape))
    to = contiguous(x)
    args = places.ravel()[order], order, values, to, places.size
    launch("indexing", "add_at", x.dtype, grid_of(places.size), THREADS, *args)
    if to is not x:
        x[...] = to
