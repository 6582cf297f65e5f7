"""Entries that are equal to others, where moving one alone may show nothing: a median, a sort.

Of three equal numbers the median moves with none of them, though it moves with all.  A right
gradient picks one: it is a mixture of the gradients at points nearby where the tie is broken.
"""

from typing import Any

import numpy as np

from .report import InputReport

POINTS = 12  # nearby, where ties are broken at random
MOST = 64  # entries of one input that are looked at so closely,
SECONDS = 0.1  # fewer where that takes longer
APART = 1e-4  # by so much equal numbers are moved apart
STEP = 1e-7


def reconsider(examination: Any, report: InputReport) -> None:
    """Widens what is accepted at wrong entries that are tied, to the slopes found nearby."""
    s = examination.subject
    values, counts = np.unique(
        np.concatenate([s.inputs[i].ravel() for i in s.wrt]), return_counts=True
    )
    x = s.inputs[report.place].reshape(-1)[report.entries]
    tied = np.isin(x, values[counts > 1]) & report.wrong.reshape(-1)[report.entries]
    most = min(MOST, max(2, int(SECONDS / (2 * POINTS * examination.seconds_a_call))))
    if not report.comparable or not 0 < tied.sum() <= most:
        return
    found, slopes = np.flatnonzero(tied), report.slopes
    near = np.array([_slopes(examination, report, found) for _ in range(POINTS)])  # (point, entry)
    slack = 10 * APART * np.maximum(np.abs(near).max(0), slopes.size[found])
    other = np.abs(near - slopes.value[found]).max(0) > slack
    if not other.any():
        return
    found, near, slack = found[other], near[:, other], slack[other]
    slopes.low[found] = np.minimum(slopes.low[found], near.min(0) - slack)
    slopes.high[found] = np.maximum(slopes.high[found], near.max(0) + slack)
    slopes.kink[found] = report.mixed = True
    report.compare()


def _slopes(examination: Any, report: InputReport, found: Any) -> list[float]:
    """The central differences of <g, y> in some entries, at a point nearby."""
    inputs = examination.subject.fresh()
    for i in examination.subject.wrt:
        noise = APART * examination.rng.standard_normal(inputs[i].shape)
        inputs[i] = np.asarray(inputs[i] + noise * np.maximum(1, np.abs(inputs[i])))
    return [_slope(examination, inputs, report.place, report.entries[k]) for k in found]


def _slope(examination: Any, inputs: list[Any], place: int, entry: int) -> float:
    """The central difference of <g, y> in one entry."""
    ends = []
    h = STEP * max(1.0, abs(float(inputs[place].flat[entry])))
    for t in (h, -h):
        moved = [np.array(x) if isinstance(x, np.ndarray) else x for x in inputs]
        moved[place].flat[entry] += t
        ends.append(examination.outputs(moved))
    return float((examination.g * (ends[0] - ends[1])).sum() / (2 * h))
