"""Every compiled call with the reference beside it: the first kernel that differs is an error.

What runs by default is what is checked: runs of several calls are compared as they are fused.
Where one differs, its calls are compared one by one, so that the error can name the kernel; if each
by itself is right, it names the run.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.arrays import is_array
from minicnn.errors import MinicnnError
from minicnn.kernels import PAIRS, PLAIN, numba_cpu, one_by_one, reference, way_back
from minicnn.kernels.calls import START, Chain
from minicnn.kernels.numba_cpu import FUSED, serves  # noqa: F401
from minicnn.kernels.reference import Saved

TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}  # relative to the largest


def compare(kernel: str, result: Any, expected: Any) -> None:
    """Raises MinicnnError where two results of a kernel differ by more than their type allows."""
    if isinstance(expected, tuple):
        for i, (a, b) in enumerate(zip(result, expected, strict=True)):
            compare(f"{kernel}[{i}]", a, b)
        return
    if expected is None or result is None:
        if expected is not result:
            raise MinicnnError(
                f"crosscheck: {kernel} is {result!r}, the reference's is {expected!r}"
            )
        return
    if (result.shape, result.dtype) != (expected.shape, expected.dtype):
        raise MinicnnError(
            f"crosscheck: {kernel} is {result.shape} {result.dtype}, but the reference's is "
            f"{expected.shape} {expected.dtype}"
        )
    with np.errstate(all="ignore"):
        difference = np.abs(result - expected, dtype=np.float64)
        same = (result == expected) | (np.isnan(result) & np.isnan(expected))
        finite = np.abs(expected[np.isfinite(expected)])
        limit = TOLERANCE.get(result.dtype, 0) * max(1e-3, finite.max(initial=0))
        wrong = ~same & ~(difference <= limit)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise MinicnnError(
            f"crosscheck: {kernel} of numba differs from the reference in {wrong.sum()} of "
            f"{wrong.size} values, first at {where}: {result[where]} against {expected[where]}"
        )


# ---- runs --------------------------------------------------------------------------------------


def run(chain: Chain, x: Any, weights: tuple, needs: tuple) -> tuple[Any, Saved]:
    """As numba's, compared."""
    y, compiled = numba_cpu.run(chain, x, weights, needs)
    expected, beside = one_by_one(reference, chain, x, weights)
    try:
        compare(f"{chain}: y", y, expected)
    except MinicnnError:
        _blame(chain, x, weights)
        raise
    inputs = compiled.inputs + beside.inputs
    return y, Saved(compiled, beside, chain, x, weights, inputs=inputs)


def back(g: Any, saved: Saved, needs: tuple) -> tuple:
    """As numba's, compared."""
    compiled, beside, chain, x, weights = saved.state
    gradients = tuple(numba_cpu.back(g, compiled, needs))
    try:
        compare(f"{chain}_backward: gradient", gradients, way_back(g, beside, needs))
    except MinicnnError:
        _blame(chain, x, weights, g)
        raise
    return gradients


def _blame(chain: Chain, x: Any, weights: tuple, g: Any = None) -> None:
    """Compares the calls of a run one by one, with a gradient their backward passes too."""
    done: list[tuple] = []
    for call in chain.calls:
        count = len(call.shapes)
        own, weights = weights[:count], weights[count:]
        needs = (True, *(w is not None for w in own))
        single = START.then(call)
        y, compiled = numba_cpu.run(single, x, own, needs)
        x, beside = one_by_one(reference, single, x, own)
        try:
            compare(f"{call.kernel}: y", y, x)
        except MinicnnError as error:
            error.call = len(done)  # type: ignore[attr-defined]  # which call of the run
            raise
        done.append((call, compiled, beside, needs))
    for call, compiled, beside, needs in reversed(done) if g is not None else ():
        gradients = tuple(numba_cpu.back(g, compiled, needs))
        expected = way_back(g, beside, needs)
        compare(f"{call.kernel}_backward: gradient", gradients, expected)
        g = expected[0]


# ---- kernels by their names --------------------------------------------------------------------


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
        gradients = tuple(getattr(numba_cpu, name)(g, compiled, needs))
        compare(f"{name}: gradient", gradients, tuple(getattr(reference, name)(g, beside, needs)))
        return gradients

    return kernel


def _plain(name: str) -> Callable:
    def kernel(*args: Any) -> Any:
        copies = [a.copy() if is_array(a) else a for a in args]
        result, expected = getattr(numba_cpu, name)(*args), getattr(reference, name)(*copies)
        compare(name, result, expected)
        for i, (a, b) in enumerate(zip(args, copies, strict=True)):  # what was changed in place
            if is_array(a):
                compare(f"{name}: argument {i}", a, b)
        return result

    return kernel


for _name in PAIRS:
    if hasattr(numba_cpu, _name):
        globals()[_name] = _forward(_name)
        globals()[f"{_name}_backward"] = _backward(f"{_name}_backward")
for _name in PLAIN:
    globals()[_name] = _plain(_name)
