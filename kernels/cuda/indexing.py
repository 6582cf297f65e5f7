"""x[index] with index arrays: out of range is an error, and repeated places have an order.

CuPy by itself lets indices wrap around, writes any one of several values for an element, and adds
floats atomically, in any order.
"""

from typing import Any

from ...arrays import Array, is_array, module_of
from .. import recording, reference
from .launch import THREADS, contiguous, grid_of, launch


def _with_arrays(index: tuple) -> bool:
    return any(is_array(i) or isinstance(i, list) for i in index)


def _check_integers(x: Array, index: tuple) -> None:
    """An IndexError for integers in arrays that are out of range; the host waits for the GPU.

    While a graph is captured nobody can look: then they wrap around.
    """
    if recording.active is not None or not _with_arrays(index):
        return
    xp, axis = module_of(x), 0
    widths = [_width(part) for part in index]
    for part, width in zip(index, widths, strict=True):
        if width == 1 and not isinstance(part, (int, slice)):
            found, n = xp.asarray(part), x.shape[axis]
            if found.dtype.kind in "iu" and found.size:
                lowest, highest = xp.stack([found.min(), found.max()]).tolist()
                if lowest < -n or highest >= n:
                    wrong = lowest if lowest < -n else highest
                    raise IndexError(
                        f"index {wrong} is out of bounds for axis {axis} with size {n}"
                    )
        axis += x.ndim - sum(widths) if part is ... else width


def _width(part: Any) -> int:
    """How many axes a part of an index speaks of; ... not counted."""
    if part is None or part is ... or isinstance(part, bool):
        return 0
    return part.ndim if is_array(part) and part.dtype.kind == "b" else 1


def take_at(x: Array, index: tuple) -> Array:
    """As in the reference; IndexError for an integer out of range."""
    _check_integers(x, index)
    return x[index]


def _places(x: Array, index: tuple) -> tuple[Array, Array]:
    """The places in x that the index chooses, as flat indices, and their stable order."""
    xp = module_of(x)
    places = xp.arange(x.size).reshape(x.shape)[index]
    return places, xp.argsort(places.ravel(), kind="stable")


def put_at(x: Array, index: tuple, values: Any) -> None:
    """As in the reference; IndexError for an integer out of range."""
    _check_integers(x, index)
    if not _with_arrays(index) or not is_array(values) or values.size == 1:
        x[index] = values
        return
    xp = module_of(x)
    places, order = _places(x, index)
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
    if not _with_arrays(index):
        return reference.add_at(x, index, values)
    xp = module_of(x)
    places, order = _places(x, index)
    if not places.size:
        return None
    values = contiguous(xp.broadcast_to(values.astype(x.dtype, copy=False), places.shape))
    to = contiguous(x)
    args = places.ravel()[order], order, values, to, places.size
    launch("indexing", "add_at", x.dtype, grid_of(places.size), THREADS, *args)
    if to is not x:
        x[...] = to
    return None
