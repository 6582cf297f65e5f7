"""Matching with mutants: is a gradient what one of the known wrong backward passes gives?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..report import Diagnosis
from .case import Case, agree, diagnosis_of
from .recognition import Known

Array = Any  # numpy.ndarray

SIDE_EFFECTS = ("GB007", "GB008", "GB009", "GB012", "GB013")  # right numbers: checks find them


@dataclass
class Match:
    """A known mistake, the wrong gradients that it explains, and how it is known."""

    mutant: Any
    cases: list[Case]
    exactly: bool  # whether the mutant is wrong in these gradients and no others
    factor: float = 1.0  # a is so many times what the mutant gives


def matches(known: Known, cases: list[Case], g: Array) -> list[Match]:
    """The mutants of an operation that give the wrong gradients at hand, the best first."""
    truth, result = known.true_gradients(g), []
    for mutant in known.operation.mutants:
        if mutant.forward is not None or mutant.code in SIDE_EFFECTS:
            continue
        try:
            theirs = known.gradients(mutant.backward, g)
        except Exception:  # one that does not run with these shapes
            continue
        match = _match(mutant, theirs, truth, cases)
        if match is not None:
            result.append(match)
    # One that shows with particular inputs only, as these are, comes before one that always does.
    return sorted(
        result,
        key=lambda m: (-len(m.cases), not m.exactly, m.factor != 1, m.mutant.sample is None),
    )


def _match(mutant: Any, theirs: dict, truth: dict, cases: list[Case]) -> Match | None:
    wrong = {i for i in theirs if not _same(theirs[i], truth.get(i))}
    hit = [c for c in cases if c.place in wrong and _same(c.a, theirs[c.place], c.close)]
    if hit:
        return Match(mutant, hit, wrong == {c.place for c in hit})
    for c in cases:
        factor = _factor(c, theirs.get(c.place)) if c.place in wrong else None
        if factor is not None:
            return Match(mutant, [c], False, factor)
    return None


def _same(a: Any, b: Any, close: float = 1e-6) -> bool:
    if a is None or b is None:
        return a is None and b is None
    return agree(a, b, close)


def _factor(case: Case, theirs: Any) -> float | None:
    """c where a is c times the mutant's gradient, and that is no multiple of the truth."""
    if case.a is None or theirs is None or np.shape(theirs) != case.a.shape or case.a.size < 3:
        return None
    theirs = np.asarray(theirs, float)
    top = int(np.argmax(np.abs(theirs)))
    if not np.isfinite(theirs).all() or theirs.flat[top] == 0:
        return None
    factor = float(case.a.flat[top] / theirs.flat[top])
    n = np.nan_to_num(case.n)
    comparable = n.shape == theirs.shape and n.flat[top]
    if comparable and agree(theirs, n * (theirs.flat[top] / n.flat[top])):
        return None
    return factor if factor and np.isfinite(factor) and case.agrees(factor * theirs) else None


def diagnoses(known: Known, cases: list[Case], g: Array) -> list[Diagnosis]:
    """The matches in words: all that explain the most, and the best for each other gradient."""
    result: list[Diagnosis] = []
    explained: dict[str, tuple[float, int]] = {}  # by input: how surely, together with how many
    for match in matches(known, cases, g):
        names, count = tuple(c.name for c in match.cases), len(match.cases)
        strength = 0.99 if match.exactly else 0.96
        if match.factor != 1:
            strength = 0.8
        strength -= 0.0 if known.named else 0.01
        before = [explained.get(name, (0.0, 0)) for name in names]
        said = match.mutant.code in {d.code for d in result}
        if all(b[0] > strength or (b[0] == strength and (b[1] > count or said)) for b in before):
            continue
        explained |= {
            name: max((strength, count), b) for name, b in zip(names, before, strict=True)
        }
        result.append(_worded(known, match, names, strength))
    return result


def _worded(known: Known, match: Match, names: tuple[str, ...], strength: float) -> Diagnosis:
    what = " and ".join(f"d{name}" for name in names)
    verb = "are" if len(names) > 1 else "is"
    size = sum(c.report.numeric.size for c in match.cases)
    times = "" if match.factor == 1 else f"{match.factor:.6g} times "
    evidence = (
        f"{what} {verb}, in all {size} entries, {times}what this mistake gives: "
        f"{known.operation.name}, {match.mutant.name}"
    )
    if match.factor != 1:
        evidence += "; the factor is a second mistake"
    return diagnosis_of(match.mutant.code, evidence, strength, names)
