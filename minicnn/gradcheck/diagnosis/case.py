"""Case: one wrong gradient with all that it may be compared with, and how two arrays agree."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..report import Diagnosis, InputReport

Array = Any  # numpy.ndarray
CLOSE = 1e-6  # arrays that are the same agree to this, relative to their largest entry


@dataclass
class Case:
    """One wrong gradient `a`, called d<name>, and the true one `n`.

    n is complete where the operation is known, else numeric: NaN where nothing was measured, and at
    kinks.  `inputs`, `y` and `g` are those of the call; g and y are None if there are several.
    """

    name: str
    place: int
    a: Any  # an array, or None
    n: Array
    report: InputReport
    inputs: list[Any]
    names: list[str]
    y: Array | None
    g: Array | None
    close: float
    ignores_g: bool

    @property
    def x(self) -> Array:
        """The input that the gradient belongs to."""
        return self.inputs[self.place]

    @property
    def comparable(self) -> bool:
        """Whether a is an array of n's shape."""
        return self.a is not None and self.a.shape == self.n.shape

    @property
    def known(self) -> Array:
        """Where n is known."""
        return ~np.isnan(self.n)

    def diagnosis(self, code: str, evidence: str, confidence: float, title: str = "") -> Diagnosis:
        """A diagnosis of this gradient."""
        return diagnosis_of(code, evidence, confidence, (self.name,), title)

    def agrees(self, candidate: Any) -> bool:
        """Whether a is the candidate, wherever that has a number."""
        return self.a is not None and agree(self.a, candidate, self.close)

    def is_new(self, candidate: Any) -> bool:
        """Whether a is the candidate, and the candidate is not the truth."""
        return self.agrees(candidate) and not agree(candidate, self.n, self.close)


def agree(a: Any, b: Any, close: float = CLOSE) -> bool:
    """Whether two arrays have one shape and the same numbers, but for rounding.

    NaN in b stands for not known; entries are compared relative to the largest ones.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        return False
    known = ~np.isnan(b)
    if not known.any() or not np.isfinite(a[known]).all():
        return a.size == 0
    largest = float(np.abs(b[known]).max(initial=0.0))
    limit = close * np.abs(b[known]) + 1e-2 * close * largest
    return bool((np.abs(a[known] - b[known]) <= limit).all())


def diagnosis_of(
    code: str, evidence: str, confidence: float, about: tuple[str, ...] = (), title: str = ""
) -> Diagnosis:
    """A diagnosis with title and remedy from the catalogue."""
    from ..bugs import CATALOGUE

    bug = CATALOGUE[code]
    return Diagnosis(code, title or bug.title, evidence, confidence, bug.remedy, about)
