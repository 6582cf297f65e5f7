"""Adding at indices that may repeat: what the gradient of x[index] is made of."""

from ...arrays import Array, is_array, module_of
from .. import reference
from .launch import THREADS, contiguous, grid_of, launch


def add_at(x: Array, index: tuple, values: Array) -> None:
    """As in the reference, with each element's values added up in their order.

    A thread adds all that goes to one element, so it is slow where very many go to a few.
    """
    if not any(is_array(i) or isinstance(i, list) for i in index):
        return reference.add_at(x, index, values)
    xp = module_of(x)
    places = xp.arange(x.size).reshape(x.shape)[index]
    if not places.size:
        return None
    values = contiguous(xp.broadcast_to(values.astype(x.dtype, copy=False), places.shape))
    places, to = places.ravel(), contiguous(x)
    order = xp.argsort(places, kind="stable")
    args = places[order], order, values, to, places.size
    launch("scatter", "add_at", x.dtype, grid_of(places.size), THREADS, *args)
    if to is not x:
        x[...] = to
    return None
