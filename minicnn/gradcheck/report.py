"""Report: what a check saw, input by input; report_text.py prints and report_figure.py draws."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .differences import Slopes
from .properties import Check
from .report_figure import figure
from .report_text import as_html, as_text

Array = Any  # numpy.ndarray


@dataclass
class Diagnosis:
    """A named mistake: what it is, the numbers that show it, and what to change."""

    code: str
    title: str
    evidence: str
    confidence: float  # between 0 and 1
    remedy: str = ""
    about: tuple[str, ...] = ()  # the inputs whose gradients it explains


@dataclass
class Direction:
    """The derivative along one direction through all inputs, analytic and numeric."""

    name: str
    analytic: float
    numeric: float
    low: float
    high: float
    tolerance: float
    ok: bool
    known: bool  # False: no number could be had, as where many kinks lie along it
    exact: float | None = None  # by the complex step, where it can be trusted

    @property
    def text(self) -> str:
        """The two numbers, where they differ."""
        return (
            f"along a direction ({self.name}) the gradient gives {self.analytic:.8g}, but the "
            f"difference {self.numeric:.8g}"
        )


@dataclass
class Entry:
    """One entry of a gradient."""

    index: tuple[int, ...]
    analytic: float
    numeric: float
    error_bar: float


@dataclass
class InputReport:
    """One input's gradient beside the numeric one.

    numeric, error_bar (NaN where nothing was measured), wrong and kinks have the input's shape.
    """

    name: str
    place: int
    shape: tuple[int, ...]
    analytic: Array | None
    entries: Array  # flat indices of the entries that were compared
    slopes: Slopes
    tolerance: Array  # of those entries
    mixed: bool = False  # entries are judged by points nearby, where ties are broken
    problem: str = ""  # why analytic cannot be compared: None, or of another shape
    numeric: Array = field(init=False)
    error_bar: Array = field(init=False)
    wrong: Array = field(init=False)
    kinks: Array = field(init=False)
    steps: list[tuple[float, float, float]] = field(default_factory=list)  # h, numeric, |a - n|

    def __post_init__(self) -> None:
        self.compare()

    def compare(self) -> None:
        """Which entries are wrong."""
        s, shape = self.slopes, self.shape
        self.numeric = self._spread(np.where(s.judged, s.value, np.nan), np.nan)
        self.error_bar = self._spread(self.tolerance, np.nan)
        self.kinks = self._spread(s.kink & s.judged, False)
        self.problem = ""
        if self.analytic is None:
            self.problem = "backward returned None for it"
            wrong = s.judged & ((s.low > self.tolerance) | (s.high < -self.tolerance))
        elif self.analytic.shape != shape:
            self.problem = f"it has shape {self.analytic.shape}, and its input {shape}"
            wrong = np.ones(len(self.entries), bool)
        else:
            a = self._flat()[self.entries]
            inside = (a >= s.low - self.tolerance) & (a <= s.high + self.tolerance)
            wrong = s.judged & ~inside
        self.wrong = self._spread(wrong, False)
        if self.analytic is None and not wrong.any():
            self.problem = ""

    def _flat(self) -> Array:
        return np.asarray(self.analytic, np.float64).reshape(-1)

    def _spread(self, values: Array, elsewhere: Any) -> Array:
        full = np.full(int(np.prod(self.shape)), elsewhere, np.asarray(values).dtype)
        full[self.entries] = values
        return full.reshape(self.shape)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong in the entries that were compared."""
        return not self.problem and not self.wrong.any()

    @property
    def comparable(self) -> bool:
        """Whether analytic is an array of the right shape."""
        return self.analytic is not None and self.analytic.shape == self.shape

    @property
    def sampled(self) -> bool:
        """Whether only a sample of the entries was compared."""
        return len(self.entries) < self.numeric.size

    @property
    def unjudged(self) -> int:
        """How many of the compared entries have no numeric derivative (infinite, or undefined)."""
        return int((~self.slopes.judged).sum())

    @property
    def share(self) -> float:
        """The share of wrong entries among those compared."""
        return float(self.wrong.sum()) / max(1, len(self.entries))

    def worst(self, count: int = 3) -> list[Entry]:
        """The entries that are furthest off, the furthest first."""
        if not self.comparable or not self.entries.size:
            return []
        columns = self._flat(), self.numeric.reshape(-1), self.error_bar.reshape(-1)
        off = np.abs(columns[0] - columns[1])
        off = np.where(self.wrong.reshape(-1), np.where(np.isfinite(off), off, np.inf), -1)
        order = np.argsort(-off, kind="stable")[: min(count, int(self.wrong.sum()))]
        places = [tuple(map(int, np.unravel_index(k, self.shape))) for k in order]
        return [
            Entry(place, *(float(c[k]) for c in columns))
            for k, place in zip(order, places, strict=True)
        ]

    @property
    def error(self) -> float:
        """The largest error among the compared entries, relative to the largest numeric value."""
        if not self.comparable:
            return np.inf
        off = np.abs(self._flat().reshape(self.shape) - self.numeric)
        off = off[~np.isnan(self.numeric) & ~self.kinks]
        largest = np.nanmax(np.abs(self.numeric), initial=0.0)
        return float(np.max(off, initial=0.0) / (largest or 1.0))


@dataclass(repr=False)
class Report:
    """What a check found.  It is true if all is right; print it to read it.

    Attributes
    ----------
    inputs
        An InputReport for each input that was checked.
    checks
        The questions about side effects and linearity, each a Check with `ok` and a sentence.
    directions
        Derivatives along random directions.
    diagnosis
        What the mistake is, most likely first; empty if all is right.
    clues
        Sentences about what was seen, where no mistake is named or one needs more words.
    notes
        What one should know about a right result: kinks met, entries without a derivative.
    """

    inputs: list[InputReport]
    checks: list[Check]
    directions: list[Direction]
    diagnosis: list[Diagnosis] = field(default_factory=list)
    clues: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    title: str = "gradient check"

    @property
    def ok(self) -> bool:
        """Whether the gradient is right."""
        parts: list[Any] = [*self.inputs, *self.checks, *self.directions]
        return all(part.ok for part in parts)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<Report: {self.summary()}>"

    __str__ = as_text
    _repr_html_ = as_html
    plot = figure

    def summary(self) -> str:
        """One line: right, or what is wrong and where it is worst."""
        bad = [r for r in self.inputs if not r.ok]
        if not bad:
            texts = [c.text for c in self.checks if not c.ok]
            texts += [d.text for d in self.directions if not d.ok]
            return texts[0] if texts else "all right"
        r = bad[0]
        start = f"the gradient of {r.name}, shape {r.shape}, is wrong"
        if r.problem:
            return f"{start}: {r.problem}"
        w = r.worst(1)[0]
        return (
            f"{start} in {int(r.wrong.sum())} of {len(r.entries)} entries; worst at {w.index}: "
            f"analytic {w.analytic:.8g}, numeric {w.numeric:.8g}"
        )

    def to_json(self) -> str:
        """The report for machines, as a JSON object; NaN and infinities are strings."""
        parts = {
            "ok": self.ok,
            "inputs": [_input_json(r) for r in self.inputs],
            "checks": [vars(c) for c in self.checks],
            "directions": [vars(d) for d in self.directions],
            "diagnosis": [vars(d) for d in self.diagnosis],
            "clues": self.clues,
            "notes": self.notes,
        }
        return json.dumps(_plain(parts), allow_nan=False)


def _input_json(r: InputReport) -> dict[str, Any]:
    return {
        "name": r.name, "shape": r.shape, "ok": r.ok, "problem": r.problem,
        "compared": len(r.entries), "size": r.numeric.size, "wrong": int(r.wrong.sum()),
        "share": r.share, "kinks": int(r.kinks.sum()), "unjudged": r.unjudged,
        "error": r.error, "worst": [vars(e) for e in r.worst(5)], "steps": r.steps,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """The same in the types that JSON knows."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else str(value)
    return int(value) if isinstance(value, np.integer) else value
