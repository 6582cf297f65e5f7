"""Every compiled call with the reference beside it: the first kernel that differs is an error.

What runs by default is what is checked: runs of several calls are compared as they are fused.
Where one differs, its calls are compared one by one, so that the error can name the kernel.  If
each by itself is right, the run must give what they give one after the other: else it is named.

Where large terms cancel, what is left is mostly their rounding errors, and those of two right
kernels differ.  So a call may be wrong by some rounding errors of its largest terms too.
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
ROUNDINGS = 32  # of the largest terms
LINEAR = {"conv2d", "linear", "avg_pool2d", "subsample2d"}  # sums of products


def compare(kernel: str, result: Any, expected: Any, terms: Any = 0.0) -> None:
    """Raises MinicnnError where two results of a kernel differ by more than their type allows.

    `terms` is how large the terms were that a result is the sum of: a number for all results, or a
    number or an array for each.
    """
    if isinstance(expected, tuple):
        terms = terms if isinstance(terms, tuple) else (terms,) * len(expected)
        for i, (a, b, c) in enumerate(zip(result, expected, terms, strict=True)):
            compare(f"{kernel}[{i}]", a, b, c)
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
        if result.dtype in TOLERANCE:
            limit = max(limit, ROUNDINGS * np.finfo(result.dtype).eps * _largest(terms))
        wrong = ~same & ~(difference <= limit)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise MinicnnError(
            f"crosscheck: {kernel} of numba differs from the reference in {wrong.sum()} of "
            f"{wrong.size} values, first at {where}: {result[where]} against {expected[where]}"
        )


def _largest(x: Any) -> float:
    """The largest finite magnitude."""
    x = np.abs(x)
    return float(np.max(x, initial=0, where=np.isfinite(x)))


def _magnitude(x: Any) -> Any:
    return np.abs(x) if is_array(x) and x.dtype.kind == "f" else x


# ---- runs --------------------------------------------------------------------------------------


def run(chain: Chain, x: Any, weights: tuple, needs: tuple) -> tuple[Any, Saved]:
    """As numba's, compared."""
    y, compiled = numba_cpu.run(chain, x, weights, needs)
    expected, beside = one_by_one(reference, chain, x, weights)
    try:
        compare(f"{chain}: y", y, expected)
    except MinicnnError:
        compare(f"{chain}: y", y, _one_by_one(chain, x, weights)[0])
    inputs = compiled.inputs + beside.inputs
    return y, Saved(compiled, beside, chain, x, weights, inputs=inputs)


def back(g: Any, saved: Saved, needs: tuple) -> tuple:
    """As numba's, compared."""
    compiled, beside, chain, x, weights = saved.state
    gradients = tuple(numba_cpu.back(g, compiled, needs))
    try:
        compare(f"{chain}_backward: gradient", gradients, way_back(g, beside, needs))
    except MinicnnError:
        _, apart = _one_by_one(chain, x, weights, g)
        wanted = tuple(a if needed else None for a, needed in zip(apart, needs, strict=True))
        compare(f"{chain}_backward: gradient", gradients, wanted)
    return gradients


def _one_by_one(chain: Chain, x: Any, weights: tuple, g: Any = None) -> tuple[Any, list]:
    """Compares the calls of a run one by one; with a gradient g their backward passes too.

    Returns numba's y, and its gradients of x and of all weights.
    """
    done: list[tuple] = []
    for call in chain.calls:
        count = len(call.shapes)
        own, weights = weights[:count], weights[count:]
        needs = (True, *(w is not None for w in own))
        single = START.then(call)
        y, compiled = numba_cpu.run(single, x, own, needs)
        expected, beside = one_by_one(reference, single, x, own)
        terms: Any = 0.0
        of_terms = beside
        if call.kernel in LINEAR:
            sizes = tuple(map(_magnitude, own))
            terms, of_terms = one_by_one(reference, single, np.abs(x), sizes)
        try:
            compare(f"{call.kernel}: y", y, expected, terms)
        except MinicnnError as error:
            error.call = len(done)  # type: ignore[attr-defined]  # which call of the run
            raise
        done.append((call, compiled, beside, of_terms, needs))
        x = y
    gradients: list = []
    for call, compiled, beside, of_terms, needs in reversed(done) if g is not None else ():
        result, expected = numba_cpu.back(g, compiled, needs), way_back(g, beside, needs)
        size = _largest(g)  # in derivatives, as 1 - y^2, terms of size 1 cancel
        terms = tuple(
            None if t is None else max(size, _largest(t))
            for t in way_back(np.abs(g), of_terms, needs)
        )
        compare(f"{call.kernel}_backward: gradient", tuple(result), tuple(expected), terms)
        g, *own = result
        gradients = [*own, *gradients]
    return x, [g, *gradients]


# ---- kernels by their names --------------------------------------------------------------------


def _forward(name: str) -> Callable:
    def kernel(*args: Any) -> tuple[Any, Saved]:
        y, saved = getattr(numba_cpu, name)(*args)
        expected, beside = getattr(reference, name)(*args)
        size = _largest(args[0])
        spread = _spread(beside, size) if name == "batch_norm" else size
        compare(f"{name}: y", y, expected, max(size, spread))
        return y, Saved(saved, beside, size, inputs=saved.inputs + beside.inputs)

    return kernel


def _spread(saved: Saved, size: float) -> float:
    """How large weight * x / std is in batch_norm: y may be a small difference of such."""
    _, inv_std, weight, _ = saved.state
    return size * _largest(inv_std * (1 if weight is None else weight))


def _backward(name: str) -> Callable:
    def kernel(g: Any, saved: Saved, needs: tuple[bool, ...]) -> Any:
        compiled, beside, size = saved.state
        gradients = tuple(getattr(numba_cpu, name)(g, compiled, needs))
        expected = tuple(getattr(reference, name)(g, beside, needs))
        terms: Any = _largest(g)
        if name == "batch_norm_backward":
            x_hat, inv_std, weight, _ = beside.state
            # As large as x_hat may be, and as its terms.
            x_hat = np.maximum(np.abs(x_hat), size * _largest(inv_std))
            inner = Saved(x_hat, inv_std, _magnitude(weight), False)
            dx, *others = reference.batch_norm_backward(np.abs(g), inner, (True, *needs[1:]))
            terms = (_largest(dx) * max(1.0, _largest(x_hat)), *others)
        compare(f"{name}: gradient", gradients, expected, terms)
        return gradients

    return kernel


def _plain(name: str) -> Callable:
    def kernel(*args: Any) -> Any:
        copies = [a.copy() if is_array(a) else a for a in args]
        before = [_largest(a) if is_array(a) else 0.0 for a in args]
        sizes = list(map(_magnitude, args))
        result, expected = getattr(numba_cpu, name)(*args), getattr(reference, name)(*copies)
        terms = 0.0 if expected is None else getattr(reference, name)(*sizes)
        compare(name, result, expected, terms)
        for i, (a, b) in enumerate(zip(args, copies, strict=True)):  # what was changed in place
            if is_array(a):
                compare(f"{name}: argument {i}", a, b, before[i])
        return result

    return kernel


for _name in PAIRS:
    if hasattr(numba_cpu, _name):
        globals()[_name] = _forward(_name)
        globals()[f"{_name}_backward"] = _backward(f"{_name}_backward")
for _name in PLAIN:
    globals()[_name] = _plain(_name)
