"""The catalogue of gradient bugs, and the known operations with their wrong backward passes.

`CATALOGUE` maps a code to its Bug, `OPERATIONS` a name to its Operation; both are put together
from one file per family when they are first asked for.
"""

from importlib import import_module
from typing import Any

from ...errors import ArgumentError
from .operation import Bug, Mutant, Operation

__all__ = ["ALIASES", "CATALOGUE", "OPERATIONS", "Bug", "Mutant", "Operation", "operation"]

CATALOGUE: dict[str, Bug]  # all 91, in order
OPERATIONS: dict[str, Operation]

# The families, in the order of their codes.
FAMILIES = (
    "general", "graph", "linear", "activation", "loss", "conv", "unfold", "pool", "subsample",
    "broadcasting", "layout", "norm", "dropout",
)  # fmt: skip

# Other names under which users may know an operation.
ALIASES = {
    "cross_entropy": "softmax_cross_entropy", "unfold": "im2col", "fold": "col2im",
    "mse": "mse_loss", "batch_norm2d": "batch_norm", "max_pool": "max_pool2d",
    "avg_pool": "avg_pool2d", "subsample": "subsample2d", "multiply": "mul", "divide": "div",
}  # fmt: skip


def operation(name: str) -> Operation:
    """The operation of this name; an error lists them."""
    from . import OPERATIONS

    known = OPERATIONS.get(ALIASES.get(name, name))
    if known is None:
        raise ArgumentError(f"op={name!r} is not known; use one of {', '.join(OPERATIONS)}")
    return known


def __getattr__(name: str) -> Any:
    if name not in ("CATALOGUE", "OPERATIONS"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    families = [import_module(f"{__name__}.{family}") for family in FAMILIES]
    bugs = [bug for family in families for bug in getattr(family, "BUGS", ())]
    globals()["CATALOGUE"] = {bug.code: bug for bug in sorted(bugs)}
    operations = [op for family in families for op in getattr(family, "OPERATIONS", ())]
    globals()["OPERATIONS"] = {op.name: op for op in operations}
    return globals()[name]
