"""Every differentiable operation: one class in one place, with its formula and its samples."""

from ..autograd import Function
from . import activation, arithmetic, conv, linear, loss, norm, pool, reduction, shape
from .samples import Sample

__all__ = ["OPS", "Sample"]


OPS: dict[str, type[Function]] = {}
"""The registry that tests and documents read: every op by its name, in reading order."""
for _module in (arithmetic, reduction, shape, linear, conv, pool, activation, loss, norm):
    for _op in vars(_module).values():
        if hasattr(_op, "apply") and _op.__module__ == _module.__name__:
            OPS[_op.__name__] = _op
