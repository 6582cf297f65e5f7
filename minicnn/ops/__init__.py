"""Every differentiable operation: one class in one place, with its formula and its samples."""

from types import ModuleType

from ..autograd import Function
from . import activation, arithmetic, conv, linear, loss, norm, pool, reduction, shape
from .samples import Sample

__all__ = ["OPS", "Sample"]


def _ops_in(module: ModuleType) -> dict[str, type[Function]]:
    return {
        name: op
        for name, op in vars(module).items()
        if isinstance(op, type) and issubclass(op, Function) and op.__module__ == module.__name__
    }


OPS: dict[str, type[Function]] = {}
"""The registry that tests and documents read: every op by its name, in reading order."""
for _module in (arithmetic, reduction, shape, linear, conv, pool, activation, loss, norm):
    OPS |= _ops_in(_module)
