"""The right numbers in the wrong places: transposed, flipped, rolled, of another shape."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...arrays import sum_to
from ..report import Diagnosis
from .case import Case, agree

Array = Any  # numpy.ndarray


def moved(case: Case) -> Iterator[Diagnosis]:
    """a has n's shape, and its numbers elsewhere."""
    n = case.n
    if not case.comparable or n.ndim == 0 or not case.known.all():
        return
    name = f"d{case.name}"
    for axes in itertools.permutations(range(n.ndim)):
        if n.transpose(axes).shape == n.shape and case.is_new(n.transpose(axes)):
            code, what = _permuted(case, axes)
            yield case.diagnosis(code, f"{name} is what it should be with {what}", 0.9)
    pairs = itertools.combinations(range(n.ndim), 2)
    for axes in [*((k,) for k in range(n.ndim)), *pairs]:
        if case.is_new(np.flip(n, axes)):
            code = "GB045" if case.place > 0 or n.ndim == 4 else "GB081"
            text = f"{name} is what it should be, flipped along axis {_listed(axes)}"
            yield case.diagnosis(code, text, 0.9)
        for step in (-2, -1, 1, 2):
            if case.is_new(np.roll(n, (step,) * len(axes), axes)):
                text = f"{name} is what it should be, rolled by {step} along axis {_listed(axes)}"
                yield case.diagnosis("GB051", text, 0.85)
    for order in itertools.permutations(range(n.ndim)) if n.ndim <= 4 else ():
        code = "GB056" if n.ndim == 4 and order[0] == 0 else "GB081"
        if case.is_new(n.transpose(order).reshape(n.shape)):
            text = f"{name} is what it should be, its axes {order} reshaped to {n.shape}"
            yield case.diagnosis(code, text, 0.85)
        if case.is_new(n.reshape([n.shape[k] for k in order]).transpose(np.argsort(order))):
            text = f"{name} is what it should be, reshaped where axes {order} belong transposed"
            yield case.diagnosis(code, text, 0.85)


def _permuted(case: Case, axes: tuple[int, ...]) -> tuple[str, str]:
    exchanged = [k for k, axis in enumerate(axes) if k != axis]
    if case.n.ndim == 2 and case.place > 0:
        return "GB017", "its axes exchanged"
    code = {(4, 0, 1): "GB046", (4, 2, 3): "GB047"}.get((case.n.ndim, *exchanged), "GB080")
    if len(exchanged) == 2:
        return code, f"axes {_listed(exchanged)} exchanged"
    return code, f"axes in order {axes}"


def _listed(axes: Any) -> str:
    return " and ".join(str(int(k)) for k in axes)


def of_another_shape(case: Case) -> Iterator[Diagnosis]:
    """a does not have its input's shape: summed too little, transposed, not cropped, flat."""
    a, n = case.a, case.n
    if a is None or a.shape == n.shape:
        return
    name, shapes = f"d{case.name}", f"{a.shape} instead of {n.shape}"
    sizes = zip(a.shape[::-1], n.shape[::-1], strict=False)
    stretched = a.ndim >= n.ndim and a.size > n.size and all(q in (1, p) for p, q in sizes)
    if stretched and agree(sum_to(a, n.shape), n, case.close):
        text = f"{name} has shape {shapes}; summed over the axes that were broadcast it is right"
        yield case.diagnosis("GB076", text, 0.95)
    if sorted(a.shape) == sorted(n.shape):
        for axes in itertools.permutations(range(n.ndim)):
            if n.transpose(axes).shape == a.shape and agree(a, n.transpose(axes), case.close):
                code = "GB017" if n.ndim == 2 else "GB080"
                yield case.diagnosis(code, f"{name} has shape {shapes}: it is transposed", 0.95)
                break
    elif a.size == n.size and agree(a.reshape(n.shape), n, case.close):
        text = f"{name} has shape {shapes}; its numbers are right and in the right order"
        yield case.diagnosis("GB081", text, 0.8, title="not reshaped back")
    if a.ndim == n.ndim and all(p >= q for p, q in zip(a.shape, n.shape, strict=True)):
        margins = [p - q for p, q in zip(a.shape, n.shape, strict=True)]
        inner = tuple(slice(m // 2, m // 2 + q) for m, q in zip(margins, n.shape, strict=True))
        if any(margins) and agree(a[inner], n, case.close):
            text = f"{name} has shape {shapes}; without {margins[-1] // 2} at each side it is right"
            yield case.diagnosis("GB048", text, 0.95)
