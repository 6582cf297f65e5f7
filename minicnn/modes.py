"""Whether operations are recorded, and NaNs looked for: modes of a thread, switched in blocks."""

import threading
from collections.abc import Sequence
from contextlib import ContextDecorator
from typing import Any

from .arrays import module_of
from .errors import AnomalyError, module_path


class _Mode(threading.local):
    grad = True
    anomaly = False


mode = _Mode()


class _Switch(ContextDecorator):
    """Sets a mode inside a `with` block or a decorated function (or at once), and puts it back."""

    def __init__(self, name: str, value: bool, at_once: bool = False) -> None:
        self.name, self.value, self.before = name, value, []  # type: ignore[var-annotated]
        self.entered = False
        if at_once:
            self.__enter__()
            self.entered = True  # a `with` block only puts it back

    def _recreate_cm(self) -> "_Switch":  # a decorated function may run in several threads
        return _Switch(self.name, self.value)

    def __enter__(self) -> None:
        if not self.entered:
            self.before.append(getattr(mode, self.name))
            setattr(mode, self.name, self.value)

    def __exit__(self, *exc: object) -> None:
        self.entered = False
        setattr(mode, self.name, self.before.pop())


def no_grad(function=None):
    """Records nothing inside: results need no gradient.  `with no_grad():` or `@no_grad`."""
    return _Switch("grad", False)(function) if callable(function) else _Switch("grad", False)


inference_mode = no_grad


def enable_grad() -> _Switch:
    """Records again inside a `no_grad`."""
    return _Switch("grad", True)


def set_grad_enabled(mode: bool) -> _Switch:
    """Switches recording on or off, for good or for a `with` block."""
    return _Switch("grad", mode, at_once=True)


def is_grad_enabled() -> bool:
    """Whether operations are recorded now, in this thread."""
    return mode.grad


def set_detect_anomaly(mode: bool) -> _Switch:
    """Stops at the first NaN or infinity, naming the op, its module, and forward or backward.

    For good or for a `with` block.  Slow: every result is looked at.
    """
    return _Switch("anomaly", mode, at_once=True)


def check_finite(node: Any, when: str, results: Sequence, inputs: Sequence) -> None:
    """Raises AnomalyError where NaN or infinity comes out, saying whether it went in."""

    def count(arrays: Sequence) -> int:
        return sum(int((~module_of(a).isfinite(a)).sum()) for a in arrays if a is not None)

    bad, already = count(results), count(inputs)
    if bad:
        where = f"  [{node.path}]" if node.path != module_path() else ""
        raise AnomalyError(
            f"{node.op.__name__}: {when} gave {bad} values that are NaN or infinite, "
            f"{f'{already} were so in its inputs' if already else 'from finite ones'}{where}"
        )
