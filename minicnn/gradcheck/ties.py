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


def reconsider(measurement: Any, report: InputReport) -> None:
    """Widens what is accepted at wrong entries that are tied, to the slopes nearby."""
    s = measurement.pair
    flat = np.concatenate([x.ravel() for x in s.checked])
    values, counts = np.unique(flat, return_counts=True)
    x = s.inputs[report.place].reshape(-1)[report.entries]
    tied = np.isin(x, values[counts > 1]) & report.wrong.reshape(-1)[report.entries]
    most = min(MOST, max(2, int(SECONDS / (2 * POINTS * measurement.seconds_a_call))))
    if not report.comparable or not 0 < tied.sum() <= most:
        return
    entries, slopes = np.flatnonzero(tied), report.slopes
    near = np.array([_slopes(measurement, report, entries) for _ in range(POINTS)])  # point, entry
    slack = 10 * APART * np.maximum(np.abs(near).max(0), slopes.size[entries])
    other = np.abs(near - slopes.value[entries]).max(0) > slack
    if not other.any():
        return
    entries, near, slack = entries[other], near[:, other], slack[other]
    slopes.low[entries] = np.minimum(slopes.low[entries], near.min(0) - slack)
    slopes.high[entries] = np.maximum(slopes.high[entries], near.max(0) + slack)
    slopes.kink[entries] = report.mixed = True
    report.compare()


def _slopes(measurement: Any, report: InputReport, entries: Any) -> list[float]:
    """The central differences of <g, y> in some entries, at a point nearby."""
    inputs = measurement.pair.fresh()
    for i in measurement.pair.wrt:
        noise = APART * measurement.rng.standard_normal(inputs[i].shape)
        inputs[i] = np.asarray(inputs[i] + noise * np.maximum(1, np.abs(inputs[i])))
    slopes = []
    for entry in report.entries[entries]:
        index = np.unravel_index(entry, report.shape)
        h = STEP * max(1.0, abs(float(inputs[report.place][index])))
        slopes.append(measurement.central_difference(inputs, report.place, index, h))
    return slopes
