"""Checking gradients against numeric ones, and naming what is wrong with them.

Read differences.py first (numeric derivatives with error bars), then check.py (check_backward),
then diagnosis/ (from numbers to the name of a mistake).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check import assert_gradients, check_backward
    from .differences import numeric_gradient
    from .report import Report
    from .tensors import check_model, check_module, gradcheck

__all__ = [
    "Report", "assert_gradients", "check_backward", "check_model", "check_module", "gradcheck",
    "numeric_gradient",
]  # fmt: skip

_PLACES = {
    "numeric_gradient": "differences",
    "check_backward": "check", "assert_gradients": "check", "Report": "report",
    "gradcheck": "tensors", "check_module": "tensors", "check_model": "tensors",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports each when it is first asked for: `import minicnn` comes by here."""
    if name == "bugs":
        return import_module(".bugs", __name__)
    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
