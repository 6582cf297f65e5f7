"""Changes in place: of a tensor's memory, and of its history in the graph.

    v = y[0]; v *= 10         v looks at y's memory, so y changes too, and so must its history: y
                              is IndexPut(y, where v is, v times 10) from now on, v Index(y, ...)
    y *= 2; v + 1             y has another history, and v, when it is used next, is Index(y, ...)

Views that are changed under no_grad only share memory.
"""

from typing import Any

import numpy as np

from .arrays import KINDS, Array, module_of
from .autograd import Function, Tensor
from .errors import DtypeError, InPlaceError, ShapeError
from .fusion import Waiting, overwrite, settle
from .modes import mode
from .ops.shape import Index, IndexPut, copies_of


def is_recorded(op: str, x: Tensor, *args: Any) -> bool:
    """Whether a change of x by these is part of the graph; InPlaceError where it cannot be."""
    base = x if x._base is None else x._base
    if not mode.grad or not any(isinstance(t, Tensor) and t.requires_grad for t in (base, *args)):
        return False
    if base.requires_grad and base.is_leaf:
        what = "a leaf" if base is x else "a view of a leaf"
        raise InPlaceError(
            f"{op}: {what} that requires grad cannot be changed in place; if the change is no "
            "part of the model (an update), do it inside `with no_grad():`"
        )
    if base.requires_grad and not x.requires_grad:  # a view from inside of no_grad
        renew(x, op)
    return True


def check_writable(op: str, x: Tensor) -> None:
    """Refuses a change of x that would not be seen in all that look at its elements."""
    if not getattr(x.array.flags, "writeable", True):
        raise InPlaceError(
            f"{op}: memory is read-only, as after expand(), or where view() or flatten() had to "
            "copy; use a clone()"
        )
    if len(x._counter) > 1 and copies_of(x):
        raise InPlaceError(
            f"{op}: view(), flatten() or contiguous() had to copy this tensor, and what it gave "
            "would not change with it; change it before, or change a clone()"
        )


def in_place(x: Tensor, op: type[Function], *args: Any) -> Tensor:
    """Makes x hold op(x, *args): in its memory, and in the graph.

    Raises InPlaceError for what would make a gradient wrong, or could not be recorded.
    """
    if isinstance(x, Waiting) and not _will_look_at_another(x) and overwrite(x, op, args):
        return x
    settle()
    name = op.__name__
    recorded = is_recorded(name, x, *args)
    result = op.apply(x, *args)
    if result.shape != x.shape:
        raise ShapeError(f"{name}: in place, {result.shape} does not fit into {x.shape}")
    if KINDS[result.dtype.kind] > KINDS[x.dtype.kind]:
        raise DtypeError(f"{name}: in place, {result.dtype} does not fit into {x.dtype}")
    check_writable(name, x)
    places = _places(x, name) if recorded and x._base is not None else None
    x.array[...] = result.array
    x._counter[0] += 1
    if recorded and result.grad_fn is not None:
        if places is None:
            _adopt(x, result)
        else:
            _adopt(x._base, IndexPut.apply(x._base, places, result))
            renew(x, name)
    return x


def _will_look_at_another(x: Waiting) -> bool:
    """Whether x, once it is computed, is a view of a tensor that somebody holds."""
    run = x.run
    other = run.outputs[-2]() if len(run.outputs) > 1 else run.tensors[0]
    return run.chain.calls[-1].kernel == "flatten" and other is not None


def _adopt(x: Any, result: Tensor) -> None:
    """Gives x the result's history."""
    retained = None if x.grad_fn is None else x.grad_fn.retained.pop(x.output_nr, None)
    x.requires_grad, x.grad_fn, x.output_nr = True, result.grad_fn, result.output_nr
    x.grad_fn.outputs[x.output_nr] = (type(x.array), x.shape, x.dtype)
    if retained is not None:
        x.grad_fn.retained[x.output_nr] = retained


def renew(view: Any, op: str) -> None:
    """Gives a view the history that its base has now."""
    _adopt(view, Index.apply(view._base, _places(view, op)))
    view._base_fn = view._base.grad_fn


Tensor._renew = renew


def _places(view: Any, op: str) -> tuple[Array, ...]:
    """The index that gives a view's elements, of its base; by where both are in memory."""
    a, b = view.array, view._base.array
    if not b.ndim:
        return (None,) * a.ndim
    xp, left = module_of(a), _address(a) - _address(b)
    for n, stride in zip(a.shape, a.strides, strict=True):
        left = xp.expand_dims(left, -1) + xp.arange(n) * stride
    places: list[Array] = [xp.zeros(a.shape, int)] * b.ndim
    for d in sorted(range(b.ndim), key=lambda d: -b.strides[d]):
        if b.shape[d] > 1:
            places[d], left = xp.divmod(left, b.strides[d])
    inside = [((i >= 0) & (i < n)).all() for i, n in zip(places, b.shape, strict=True)]
    if not all(inside) or xp.any(left != 0):
        raise InPlaceError(
            f"{op}: this tensor is a view of one that has other memory now; take the view again"
        )
    return tuple(places)


def _address(a: Array) -> int:
    return a.ctypes.data if module_of(a) is np else a.data.ptr
