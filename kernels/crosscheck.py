"""Every compiled call with the reference beside it: the first kernel that differs is an error."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import is_array
from ..errors import MinicnnError
from . import PAIRS, PLAIN, numba_cpu, reference
from .numba_cpu import serves  # noqa: F401
from .reference import Saved

TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}  # relative to the largest


def compare(kernel: str, found: Any, expected: Any) -> None:
    """Raises MinicnnError where two results of a kernel differ by more than their type allows."""
    if isinstance(expected, tuple):
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            compare(f"{kernel}[{i}]", a, b)
        return
    if expected is None or found is None:
        if expected is not found:
            raise MinicnnError(
                f"crosscheck: {kernel} is {found!r}, the reference's is {expected!r}"
            )
        return
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise MinicnnError(
            f"crosscheck: {kernel} is {found.shape} {found.dtype}, but the reference's is "
            f"{expected.shape} {expected.dtype}"
        )
    with np.errstate(all="ignore"):
        difference = np.abs(found - expected, dtype=np.float64)
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        finite = np.abs(expected[np.isfinite(expected)])
        limit = TOLERANCE.get(found.dtype, 0) * max(1e-3, finite.max(initial=0))
        wrong = ~same & ~(difference <= limit)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise MinicnnError(
            f"crosscheck: {kernel} of numba differs from the reference in {wrong.sum()} of "
            f"{wrong.size} values, first at {where}: {found[where]} against {expected[where]}"
        )


def _forward(name: str) -> Callable:
    def kernel(*args: Any) -> tuple[Any, Saved]:
        y, saved = getattr(numba_cpu, name)(*args)
        expected, beside = getattr(reference, name)(*args)
        compare(f"{name}: y", y, expected)
        return y, Saved(saved, beside, inputs=saved.inputs + beside.inputs)

    return kernel


def _backward(name: str) -> Callable:
    def kernel(g: Any, saved: Saved, needs: tuple[bool, ...]) -> Any:
        compiled, beside = saved.state
        found = getattr(numba_cpu, name)(g, compiled, needs)
        compare(
            f"{name}: gradient", tuple(found), tuple(getattr(reference, name)(g, beside, needs))
        )
        return found

    return kernel


def _plain(name: str) -> Callable:
    def kernel(*args: Any) -> Any:
        copies = [a.copy() if is_array(a) else a for a in args]
        found, expected = getattr(numba_cpu, name)(*args), getattr(reference, name)(*copies)
        compare(name, found, expected)
        for i, (a, b) in enumerate(zip(args, copies, strict=True)):  # what was changed in place
            if is_array(a):
                compare(f"{name}: argument {i}", a, b)
        return found

    return kernel


for _name in PAIRS:
    globals()[_name], globals()[_name + "_backward"] = (
        _forward(_name),
        _backward(_name + "_backward"),
    )
for _name in PLAIN:
    globals()[_name] = _plain(_name)
