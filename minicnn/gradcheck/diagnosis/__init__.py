"""From numbers to the name of a mistake.

The order: side effects and linearity (properties.py has asked), the forward pass, then each wrong
gradient on its own: one constant ratio, a ratio per axis, a/g against local derivatives, layouts,
support, residual; last the known wrong backward passes of the operation, which is named by the user
or recognised by its outputs.  What several of them say about one code is said once.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..properties import Check
from ..report import Diagnosis, Report
from . import layouts, mutants, patterns, ratios, recognition
from .case import CLOSE, Case, agree, diagnosis_of

MOST = 4  # diagnoses in a report


@np.errstate(all="ignore")
def diagnose(measurement: Any, report: Report, op: str | None, params: dict[str, Any]) -> None:
    """Fills in the report's diagnosis and clues."""
    s = measurement.pair
    single = not s.several and len(s.y) == 1
    y = s.y[0] if single else None
    close = min(max(CLOSE, 1e4 * measurement.unit), 1e-3)
    if op is not None:
        known: Any = recognition.named(op, params, s.inputs, y, close)
        _check_forward(known, y, report)
    if report.ok:
        return
    if op is None or not known.agrees:
        candidates = list(recognition.inferred(s.inputs, y, close))
        known = candidates[0] if candidates else None
    else:
        candidates = [known]
    cases = _cases(measurement, report, known, close)
    said = from_checks(report)
    for candidate in candidates:
        said += mutants.diagnoses(candidate, cases, measurement.upstream[0])
    for case in cases:
        said += _by_rules(case, measurement)
    said += _unrepeatable(measurement, report)
    report.diagnosis = _ranked(said)
    report.clues += _clues(cases, report)


def _check_forward(known: Any, y: Any, report: Report) -> None:
    """The forward pass beside the operation it is meant to be; differences cannot see that."""
    how = "" if known.agrees else _forward_differs(known, y)
    text = f"forward does not compute {known.operation.name}: {how}"
    report.checks.append(Check("forward is the operation named", known.agrees, text, "GB014"))


def _forward_differs(known: Any, y: Any) -> str:
    try:
        right = known.forward()
    except Exception as error:
        return f"with these inputs and params that raises {type(error).__name__}: {error}"
    if y is None or y.shape != right.shape:
        return f"it returns shape {None if y is None else y.shape}, not {right.shape}"
    worst = np.unravel_index(np.argmax(np.abs(y - right)), y.shape)
    where = tuple(int(i) for i in worst)
    return f"at {where} it gives {y[worst]:.8g}, not {right[worst]:.8g}"


def _cases(measurement: Any, report: Report, known: Any, close: float) -> list[Case]:
    """The wrong gradients, each with the truth: the operation's where it is known, else numeric."""
    s = measurement.pair
    y, g = (None, None) if s.several else (s.y[0], measurement.upstream[0])
    truth = known.true_gradients(g) if known is not None and not s.several else {}
    cases = []
    ignores = any(c.code == "GB001" and not c.ok and c.sure > 0.9 for c in report.checks)
    # Wrong at a kink, where each entry by itself may pass:
    hidden = all(r.ok for r in report.inputs)
    for r in report.inputs:
        n = truth.get(r.place)
        if r.ok and not (hidden and n is not None and not agree(r.analytic, n, close)):
            continue
        if n is None:
            n = np.where(r.kinks, np.nan, r.numeric)
        n = np.asarray(n, float)
        cases.append(
            Case(r.name, r.place, r.analytic, n, r, s.inputs, s.names, y, g, close, ignores)
        )
    return cases


def from_checks(report: Report) -> list[Diagnosis]:
    """Checks that name a mistake by themselves."""
    return [diagnosis_of(c.code, c.text, c.sure) for c in report.checks if c.code and not c.ok]


RULES: tuple[Callable[[Case], Iterable[Diagnosis]], ...] = (
    ratios.constant, ratios.along_axes, layouts.moved, layouts.of_another_shape,
    patterns.imprecise, patterns.one_sum_for_all, patterns.decay, patterns.straight_path,
)  # fmt: skip


def _by_rules(case: Case, measurement: Any) -> list[Diagnosis]:
    """What the numbers of one gradient say by themselves."""
    if case.a is not None and not np.isfinite(case.a).all():
        return []
    said = [d for rule in RULES for d in rule(case)]
    if not said and measurement.backward.repeats:
        said += patterns.one_sample(case, measurement)
    if case.a is None:
        said.append(
            case.diagnosis("GB003", f"there is no d{case.name}, and it should not be 0", 0.95)
        )
    return said


def _unrepeatable(measurement: Any, report: Report) -> list[Diagnosis]:
    """A gradient that is another at each call: of 0s and one factor times g, it is a mask."""
    s, said = measurement.pair, []
    if measurement.backward.repeats or len(s.y) != 1:
        return []
    for r in report.inputs:
        if not r.comparable or r.shape != s.y[0].shape:
            continue
        ratio = np.round(r.analytic / measurement.upstream[0], 9)
        if len(np.unique(ratio)) == 2 and 0 in ratio:
            text = f"d{r.name} is g times 0 or {ratio.max():.4g}, and the zeros move at each call"
            said.append(diagnosis_of("GB090", text, 0.98, (r.name,)))
    return said


def _clues(cases: list[Case], report: Report) -> list[str]:
    """What was seen where no mistake is named with confidence."""
    explained = {name for d in report.diagnosis if d.confidence > 0.7 for name in d.about}
    lines: list[str] = []
    for case in cases:
        if case.name not in explained:
            factor = [text for text in (ratios.clue(case), ratios.axis_clue(case)) if text]
            lines += factor or patterns.clues(case)
            others = [r for r in report.inputs if r.name != case.name and r.numeric.size > 1]
            mixed_up = [r.name for r in others if case.agrees(r.numeric)]
            lines += [f"d{case.name} is what d{other} should be" for other in mixed_up]
    right = [f"d{r.name}" for r in report.inputs if r.ok]
    if right and len(explained) < len(report.inputs) - len(right):
        lines.append(f"right: {', '.join(right)}; look at what only the others go through")
    return lines[:9]


def _ranked(said: list[Diagnosis]) -> list[Diagnosis]:
    """One diagnosis for each code, the most likely first; what rules see in numbers stays."""
    best: dict[str, Diagnosis] = {}
    for d in sorted(said, key=lambda d: -d.confidence):
        first = best.setdefault(d.code, d)
        if first is not d and "Besides" not in first.evidence:
            first.evidence = f"{d.evidence}. Besides, {first.evidence}"
        first.about = tuple(dict.fromkeys((*first.about, *d.about)))
    return list(best.values())[:MOST]
