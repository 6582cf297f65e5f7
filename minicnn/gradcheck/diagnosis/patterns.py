"""Other forms of a wrong gradient: imprecise, one sample's, one sum for all, a residual."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..report import Diagnosis
from .case import Case, agree

Array = Any  # numpy.ndarray


def imprecise(case: Case) -> Iterator[Diagnosis]:
    """a is right to the digits of float32."""
    if case.comparable and agree(case.a, case.n, 1e-4) and case.report.error < 1e-5:
        digits = -int(np.log10(max(case.report.error, 1e-16)))
        text = f"d{case.name} is right to {digits} digits only"
        if np.array_equal(case.a, np.float32(case.a)):
            text += ", and each of its numbers is one of float32"
            yield case.diagnosis("GB013", text, 0.9)
        else:
            yield case.diagnosis("GB013", f"{text}, as if float32 were used on the way", 0.5)


def one_sum_for_all(case: Case) -> Iterator[Diagnosis]:
    """All entries of a are the sum of n."""
    if case.a is None or case.a.size < 2 or not case.known.all():
        return
    total = case.n.sum()
    if np.ptp(case.a) <= 1e-9 * abs(total) and agree(case.a.flat[0], total, case.close):
        text = f"all {case.a.size} entries of d{case.name} are the sum of what they should be"
        yield case.diagnosis("GB020", text, 0.9)


def decay(case: Case) -> Iterator[Diagnosis]:
    """a - n is a multiple of the input itself."""
    if not case.comparable or case.n.size < 3 or case.ignores_g:
        return
    residual, x = np.where(case.known, case.a - case.n, 0), np.where(case.known, case.x, 0)
    squares = float((x**2).sum())
    c = float((residual * x).sum()) / squares if squares else 0.0
    if c and case.agrees(case.n + c * case.x) and agree(residual, c * x, 1e-4):
        sign, what = ("", "doubled, or not part of forward") if c > 0 else ("-", "missing")
        text = (
            f"d{case.name} is off by {sign}{abs(c):.6g} times {case.name} itself, in every entry: "
            f"a weight decay that is {what}"
        )
        yield case.diagnosis("GB015", text, 0.9)


def straight_path(case: Case) -> Iterator[Diagnosis]:
    """The term g itself, of the straight path in x + f(x), is missing, alone, or there twice."""
    if not case.comparable or case.g is None or case.g.shape != case.n.shape:
        return
    name, g = f"d{case.name}", case.g
    if case.is_new(g):
        text = (
            f"{name} is g itself, as if y were {case.name}: what other paths send back is missing"
        )
        yield case.diagnosis("GB006", text, 0.6)
    elif case.agrees(case.n - g):
        text = f"{name} is too small by exactly g: the straight path's term of x + f(x) is missing"
        yield case.diagnosis("GB004", text, 0.75)
    elif case.agrees(case.n + g):
        text = f"{name} is too large by exactly g: a straight path's term is counted twice"
        yield case.diagnosis("GB005", text, 0.75)


def one_sample(case: Case, measurement: Any) -> Iterator[Diagnosis]:
    """a listens to g of one sample only, though all samples meet this input."""
    g = case.g
    if g is None or g.ndim < 2 or len(g) < 2 or case.a is None or case.x.shape[:1] == g.shape[:1]:
        return
    heard = []
    for sample in range(len(g)):
        part = np.zeros_like(g)
        part[sample] = g[sample]
        pair = measurement.pair
        again = pair.gradients([part], pair.fresh())[pair.wrt.index(case.place)]
        if np.nan_to_num(np.asarray(again, float)).any():
            heard.append(sample)
    if len(heard) == 1:
        which = "the last" if heard[0] == len(g) - 1 else f"sample {heard[0]}"
        text = f"d{case.name} depends on g of one sample only, {which} of {len(g)}"
        yield case.diagnosis("GB054" if g.ndim == 4 else "GB019", text, 0.85)


def clues(case: Case) -> Iterator[str]:
    """Where the error lives, and what the right part and the wrong part have in common."""
    a, n, name = case.a, case.n, f"d{case.name}"
    if a is not None and not np.isfinite(a).all():
        yield f"{name} has {int((~np.isfinite(a)).sum())} entries that are NaN or infinite"
        return
    if not case.comparable or not case.known.any():
        return
    a, n = np.where(case.known, a, 0), np.where(case.known, n, 0)
    wrong = case.report.wrong
    missing, extra = (a == 0) & (n != 0), (a != 0) & (n == 0)
    if missing.any() and not missing.all():
        yield f"{name} is 0 in {int(missing.sum())} entries where it should not be"
    if extra.any():
        yield f"{name} is not 0 in {int(extra.sum())} entries where it should be"
    if not wrong.all():
        yield from _places(case, wrong)
    yield from _residual(name, a - n)
    yield from _alike(name, a, n)


def _alike(name: str, a: Array, n: Array) -> Iterator[str]:
    """How long a is, and where it points, beside n."""
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(n))
    if min(lengths) > 0:
        cosine = float((a * n).sum()) / (lengths[0] * lengths[1])
        kind = ": most of it is right" if 0.9 < cosine < 0.999999 else ""
        kind = ": they are hardly related" if abs(cosine) < 0.2 else kind
        yield (
            f"{name} is {lengths[0] / lengths[1]:.3g} times as long as the right gradient, and the "
            f"cosine between them is {cosine:.3f}{kind}"
        )


def _places(case: Case, wrong: Array) -> Iterator[str]:
    """The indices of an axis to which the wrong entries keep."""
    for axis in range(wrong.ndim):
        others = tuple(k for k in range(wrong.ndim) if k != axis)
        hit = np.flatnonzero(wrong.any(axis=others))
        if wrong.shape[axis] > 1 and 0 < len(hit) < wrong.shape[axis]:
            shown = ", ".join(map(str, hit[:6])) + (", ..." if len(hit) > 6 else "")
            size = wrong.shape[axis]
            yield f"d{case.name} is wrong only at {shown} of axis {axis} (size {size})"


def _residual(name: str, residual: Array) -> Iterator[str]:
    largest = float(np.abs(residual).max(initial=0.0))
    for axis in range(residual.ndim):
        if residual.shape[axis] > 1 and np.ptp(residual, axis=axis).max() < 1e-6 * largest:
            lost = f"a sum or mean over axis {axis} may be lost"
            yield f"what is off in {name} is the same all along axis {axis}: {lost}"
