"""Watches the learner's functions while they run: do they call a library, or take differences?"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from .results import Stop

# What an exercise is not to be solved with: libraries that have the operations ready-made, and
# difference quotients.
FORBIDDEN = frozenset(
    "differences minicnn torch jax tensorflow keras autograd chainer mxnet cupy scipy".split()
)


@contextmanager
def watched(files: Iterable[str], inputs: Iterable[Any], allow: Iterable[str]) -> Iterator[None]:
    """Stops the check if, inside, code of `files` calls a library or takes differences.

    Differences are seen where functions of the learner's are called with copies of an input in
    which one entry was changed, twice at least, or with complex numbers.  `allow` names libraries
    that may be called, and "differences" where those may be taken.  The profiling hook sees a
    function however it was imported, in C too.
    """
    before = sys.getprofile()
    sys.setprofile(_Watch(frozenset(files), list(inputs), FORBIDDEN - set(allow)))
    try:
        yield
    finally:
        sys.setprofile(before)


class _Watch:
    def __init__(self, files: frozenset[str], inputs: list[Any], forbidden: frozenset[str]) -> None:
        self.files, self.forbidden = files, forbidden
        self.differences = "differences" in forbidden
        self.nudges: set[tuple[int, Any]] = set()  # (place of the changed entry, its value)
        self.inputs = [x.copy() for x in inputs if isinstance(x, np.ndarray) and x.size > 1]

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename in self.files:
            caller = frame.f_back
            if self.differences and caller and caller.f_code.co_filename in self.files:
                self._look_at_arguments(frame, caller)
        elif event == "call":
            caller = frame.f_back
            if caller and caller.f_code.co_filename in self.files:
                name = str(frame.f_globals.get("__name__", ""))
                self._look_at_library(name, frame.f_code.co_qualname, caller)
        elif event == "c_call" and frame.f_code.co_filename in self.files:
            self._look_at_library(_home(argument), argument.__name__, frame)

    def _look_at_library(self, module: str, function: str, caller: FrameType) -> None:
        if module.partition(".")[0] in self.forbidden and not module.startswith(
            "minicnn.exercises"
        ):
            raise Stop(
                "library", f"line {caller.f_lineno} calls {module}.{function}",
                "your own formula, in NumPy or plain Python", "a call of a library that has it",
                f"{caller.f_code.co_name}, line {caller.f_lineno}",
            )  # fmt: skip

    def _look_at_arguments(self, frame: FrameType, caller: FrameType) -> None:
        values = list(frame.f_locals.values())
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        self.nudges.update(n for a in arrays for x in self.inputs for n in _nudge(a, x))
        # a single one may be chance: relu(x) where only one entry of x is negative
        if len(self.nudges) > 1 or any(map(_is_complex, values)):
            raise Stop(
                "differences", f"line {caller.f_lineno} takes differences of a function",
                "the derivative as a formula",
                "a call with one entry of the input changed, or with complex numbers",
                f"{caller.f_code.co_name}, line {caller.f_lineno}; differences are for checking",
            )  # fmt: skip


def _home(function: Callable[..., Any]) -> str:
    """The module that a C function belongs to."""
    owner = getattr(function, "__self__", None)
    kind = owner if isinstance(owner, type) else type(owner)
    return (
        getattr(function, "__module__", None) or getattr(owner, "__name__", "") or (kind.__module__)
    )


def _is_complex(value: Any) -> bool:
    return isinstance(value, complex) or (isinstance(value, np.ndarray) and value.dtype.kind == "c")


def _nudge(value: np.ndarray, x: np.ndarray) -> list[tuple[int, Any]]:
    """The place and value of the only entry in which value differs from x, if that is so."""
    if value is x or value.shape != x.shape or np.count_nonzero(value != x) != 1:
        return []
    place = int(np.argmax(value != x))
    return [(place, value.flat[place].item())]
