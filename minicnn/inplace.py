"""Changes in place: of a tensor's memory, and of its history in the graph."""

from typing import Any

from .arrays import KINDS
from .autograd import Function, Tensor
from .errors import DtypeError, InPlaceError, ShapeError
from .fusion import Waiting, overwrite, settle
from .modes import mode


def in_place(x: Tensor, op: type[Function], *args: Any) -> Tensor:
    """Makes x hold op(x, *args): in its memory, and in the graph.

    Raises InPlaceError for what would make a gradient wrong, or could not be recorded.
    """
    if isinstance(x, Waiting) and overwrite(x, op, args):
        return x
    settle()
    name = op.__name__
    recorded = mode.grad and any(isinstance(t, Tensor) and t.requires_grad for t in (x, *args))
    if recorded and x.requires_grad and x.is_leaf:
        raise InPlaceError(
            f"{name}: a leaf that requires grad cannot be changed in place; if the change is no "
            "part of the model (an update), do it inside `with no_grad():`"
        )
    if recorded and x._base is not None:
        raise InPlaceError(
            f"{name}: a change in place through a view is not recorded; assign to the tensor it "
            "is a view of (base[index] = ...), or change a clone() of the view"
        )
    result = op.apply(x, *args)
    if result.shape != x.shape:
        raise ShapeError(f"{name}: in place, {result.shape} does not fit into {x.shape}")
    if KINDS[result.dtype.kind] > KINDS[x.dtype.kind]:
        raise DtypeError(f"{name}: in place, {result.dtype} does not fit into {x.dtype}")
    if not getattr(x.array.flags, "writeable", True):
        raise InPlaceError(f"{name}: memory is read-only, as after expand(); use a clone()")
    x.array[...] = result.array
    x._counter[0] += 1
    if recorded and result.grad_fn is not None:
        retained = None if x.grad_fn is None else x.grad_fn.retained.pop(x.output_nr, None)
        x.requires_grad, x.grad_fn, x.output_nr = True, result.grad_fn, result.output_nr
        x.grad_fn.outputs[x.output_nr] = (type(x.array), x.shape, x.dtype)
        if retained is not None:
            x.grad_fn.retained[x.output_nr] = retained
    return x
