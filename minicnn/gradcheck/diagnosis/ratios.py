"""One constant ratio a/n, or one for each index of an axis, and what the number means."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..report import Diagnosis
from .case import Case

Array = Any  # numpy.ndarray
Meaning = tuple[float, str, float, str]  # ratio, code, confidence, what the number is


def constant(case: Case) -> Iterator[Diagnosis]:
    """a = c n in every entry."""
    c = _ratio(case)
    if c is None:
        return
    name = f"d{case.name}"
    if c == 0:
        yield case.diagnosis("GB003", f"{name} is 0 everywhere, and should not be", 0.6)
        return
    fitting = [m for m in _meanings(case) if abs(m[0] / c - 1) < 1e-6]
    for _, code, confidence, meaning in fitting:
        text = f"{name} is exactly {_fraction(c)} what it should be, in every entry: {meaning}"
        if c == -1:
            text = f"{name} is minus what it should be, in every entry"
        yield case.diagnosis(code, text, confidence - 0.05 * (len(fitting) > 1))


def clue(case: Case) -> str:
    """The constant ratio as a clue, where no meaning of it is known."""
    c = _ratio(case)
    if c is None or c == 0:
        return ""
    return f"d{case.name} is {c:.8g} times what it should be, in every entry{_hint(case, c)}"


def _hint(case: Case, c: float) -> str:
    """A size that the factor may come from."""
    sizes: dict[float, str] = {}
    if c in (2, 0.5):
        return ""  # too many things are two
    for name, x in zip(case.names, case.inputs, strict=False):
        if isinstance(x, np.ndarray) and x.ndim:
            sizes |= {float(x.size): f"the number of entries of {name}"}
            sizes |= {float(n): f"the size of axis {k} of {name}" for k, n in enumerate(x.shape)}
    for shown, change in (("", 1.0), ("half ", 0.5), ("the root of ", None)):
        for size, what in sizes.items():
            value = np.sqrt(size) if change is None else change * size
            if value > 1 and min(abs(c / value - 1), abs(c * value - 1)) < 1e-6:
                side = "" if c > 1 else "1 over "
                return f": {side}{shown}{size:.0f}, {what}"
    return ""


def _ratio(case: Case) -> float | None:
    if not case.comparable:
        return None
    n = np.where(case.known, case.n, 0)
    where = np.abs(n) > 1e-3 * np.abs(n).max(initial=0.0)
    if not where.any():
        return None
    c = float(np.median(np.asarray(case.a, float)[where] / n[where]))
    if not np.isfinite(c):
        return None
    c = float(round(c)) if abs(c - round(c)) < 1e-7 else c
    return c if abs(c - 1) > 1e-6 and case.agrees(c * case.n) else None


def _fraction(c: float) -> str:
    """A ratio as people write it."""
    for bottom in range(1, 2000):
        top = c * bottom
        if abs(top - round(top)) < 1e-6 * max(1, abs(top)) and round(top):
            return f"{round(top)}/{bottom} of" if bottom > 1 else f"{round(top)} times"
    return f"{c:.8g} times"


def _meanings(case: Case) -> Iterator[Meaning]:
    """What factors gradients are off by, from the sizes at hand, the likely ones first."""
    yield -1.0, "GB002", 0.95, "the sign is wrong"
    yield from _of_the_batch(case)
    yield from _of_the_window(case)
    yield from _of_a_bias(case)
    yield 2.0, "GB005", 0.8, "it is counted twice"
    yield 0.5, "GB004", 0.6, "of two equal paths, as in x * x, one is counted"
    yield 1.5, "GB027", 0.4, "1/(2/3), the slope of the scaled tanh"
    for k, size in enumerate(case.x.shape[1:], 1):
        if size > 1:
            where = f"{size} is the size of axis {k} of {case.name}"
            yield 1 / size, "GB077", 0.6, f"{where}, so a mean stands for a sum"


def _of_the_batch(case: Case) -> Iterator[Meaning]:
    first = case.inputs[0]
    if case.y is None or not np.ndim(first) or not len(first) or len(first) == 1:
        return
    n, names = len(first), case.names
    batch = f"{n} is the batch size (axis 0 of {names[0]})"
    if case.y.ndim == 0:
        yield 1.0 * n, "GB032", 0.9, f"{batch}: the mean's 1/N is missing"
        yield 1 / n, "GB033", 0.9, f"{batch}: it is divided by N once too often"
        if first.ndim == 2 and first.shape[1] not in (1, n):
            classes = first.shape[1]
            yield n / classes, "GB034", 0.85, f"{batch} and {classes} the classes: 1/C for 1/N"
    elif case.y.shape[:1] == (n,):
        code = "GB057" if case.y.ndim == 4 and case.x.ndim == 1 else "GB018"
        yield 1 / n, code, 0.9, f"{batch}: a mean over the batch stands for the sum"


def _of_a_bias(case: Case) -> Iterator[Meaning]:
    """A vector that was added along other axes, whose gradient is the sum over those."""
    if case.y is None or case.x.ndim != 1 or case.y.ndim != 4:
        return
    n, _, oh, ow = case.y.shape
    positions = f"{oh} x {ow} are the positions"
    if oh * ow > 1:
        yield 1 / (oh * ow), "GB057", 0.9, f"{positions}: a mean stands for the sum"
        yield 1 / (n * oh * ow), "GB057", 0.9, f"{positions} and {n} the batch: a mean for the sum"


def _of_the_window(case: Case) -> Iterator[Meaning]:
    if case.y is None or case.y.ndim != 4 or case.x.ndim != 4 or 0 in case.y.shape:
        return
    (h, w), (oh, ow) = case.x.shape[2:], case.y.shape[2:]
    kh, kw = h // oh, w // ow
    area = kh * kw
    if case.y.shape[:2] != case.x.shape[:2] or area <= 1:
        return
    window = f"{kh} x {kw} is the window"
    yield 1.0 * area, "GB058", 0.85, f"{window}: the mean's division is missing"
    yield 1 / area, "GB071", 0.7, f"{window}: divided by its size once too often"
    yield area / kh, "GB059", 0.7, f"{window}: divided by one of its sides only"
    yield area / (oh * ow), "GB060", 0.8, f"{window} and {oh} x {ow} the output, divided by that"


def along_axes(case: Case) -> Iterator[Diagnosis]:
    """a = n times a vector along one axis, which may be another input or its inverse."""
    for axis, ratio in _axis_ratios(case):
        for k, other in enumerate(case.inputs):
            if k == case.place or not isinstance(other, np.ndarray) or other.shape != ratio.shape:
                continue
            if np.allclose(ratio * other, 1, rtol=1e-6):
                centred = np.abs(np.nansum(case.n, 0)).max() < 1e-6 * np.nansum(np.abs(case.n))
                text = (
                    f"d{case.name} is off by 1/{case.names[k]} along axis {axis}: it is not "
                    f"multiplied by {case.names[k]}"
                )
                yield case.diagnosis("GB085" if centred else "GB070", text, 0.9)


def axis_clue(case: Case) -> str:
    """The ratios along an axis as a clue."""
    for axis, ratio in _axis_ratios(case):
        right = np.isclose(ratio, 1, rtol=1e-6)
        shown = ", ".join(f"{r:.4g}" for r in ratio[:8]) + (", ..." if ratio.size > 8 else "")
        text = f"d{case.name} is right but for one factor for each index of axis {axis}: {shown}"
        if right.any() and not right.all():
            good = ", ".join(str(i) for i in np.flatnonzero(right)[:8])
            text += f" (right at {good} only)"
        return text
    return ""


def _axis_ratios(case: Case) -> Iterator[tuple[int, Array]]:
    if not case.comparable or case.n.ndim < 2 or not case.known.all():
        return
    for axis in range(case.n.ndim):
        others = tuple(k for k in range(case.n.ndim) if k != axis)
        if case.n.shape[axis] < 2 or case.n.size < 2 * case.n.shape[axis]:
            continue
        squares = (case.n**2).sum(axis=others)
        if not (squares > 0).all():
            continue
        ratio = (case.a * case.n).sum(axis=others) / squares
        shape = [-1 if k == axis else 1 for k in range(case.n.ndim)]
        if np.ptp(ratio) > 1e-6 and case.agrees(case.n * ratio.reshape(shape)):
            yield axis, ratio
