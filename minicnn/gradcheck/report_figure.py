"""Pictures of a gradient beside the numeric one: analytic, numeric, and where they differ."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError

if TYPE_CHECKING:
    from .report import InputReport, Report

Array = Any  # numpy.ndarray
SLICES = 4  # rows of pictures for one input, those with the most wrong entries


def figure(report: "Report", name: str | None = None) -> Any:
    """A matplotlib figure: analytic, numeric and their difference, for an input's gradient.

    name is that of the input; by default the first that is wrong, else the first.
    """
    from matplotlib.figure import Figure

    r = _chosen(report, name)
    analytic, numeric, wrong = map(np.atleast_2d, (r.analytic, r.numeric, r.wrong))
    off = analytic - numeric
    order = np.argsort(-wrong.sum((-2, -1)), axis=None, kind="stable")[:SLICES]
    picks = [np.unravel_index(k, off.shape[:-2]) for k in order]
    fig = Figure(figsize=(9, 0.6 + 2.3 * len(picks)), layout="constrained")
    rows = fig.subplots(len(picks), 3, squeeze=False)
    limits = [_limit(np.concatenate([analytic.ravel(), numeric.ravel()]))] * 2 + [_limit(off)]
    for axes, pick in zip(rows, picks, strict=True):
        where = "" if off.ndim == 2 else f"[{', '.join(str(int(i)) for i in pick)}]"
        titles = (f"analytic {where}", "numeric", "analytic - numeric")
        parts = zip(axes, titles, (analytic, numeric, off), limits, strict=True)
        for axis, title, values, limit in parts:
            drawn = axis.imshow(values[pick], cmap="RdBu_r", vmin=-limit, vmax=limit)
            axis.set_title(title, fontsize=9)
            axis.tick_params(labelsize=7)
            axis.set_facecolor("0.85")  # where nothing was compared
            fig.colorbar(drawn, ax=axis, shrink=0.8).ax.tick_params(labelsize=7)
        _outlined(axes[2], wrong[pick])
    state = "right" if r.ok else f"wrong in {int(r.wrong.sum())} of {len(r.entries)} entries"
    fig.suptitle(f"d{r.name} {r.shape}: {state}", fontsize=10)
    return fig


def _chosen(report: "Report", name: str | None) -> "InputReport":
    drawable = [r for r in report.inputs if r.comparable and r.numeric.size]
    if name is not None:
        drawable = [r for r in drawable if r.name == name]
    if not drawable:
        known = ", ".join(r.name for r in report.inputs) or "none"
        raise ArgumentError(f"plot: nothing to draw for {name or 'this report'}; inputs: {known}")
    return next((r for r in drawable if not r.ok), drawable[0])


def _limit(values: Array) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def _outlined(axis: Any, wrong: Array) -> None:
    """A dot on each wrong entry, so that small errors beside a large one are seen."""
    rows, columns = np.nonzero(wrong)
    if 0 < len(rows) < wrong.size:
        axis.plot(columns, rows, "k.", markersize=3)
