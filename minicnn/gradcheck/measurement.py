"""Measurement: everything that is measured about a backward pass, before anything is named."""

import time
from collections.abc import Callable
from itertools import compress
from typing import Any

import numpy as np

from ..errors import ArgumentError
from . import ties
from .differences import (
    FLOAT64,
    Slopes,
    derivatives,
    measured_unit,
    step_size,
    tied_direction,
)  # fmt: skip
from .directions import measured_along, random_direction
from .function_pair import Broken, FunctionPair, copied
from .properties import Backward, Check, of_forward
from .report import Direction, InputReport

Array = Any  # numpy.ndarray

ENTRIES = 1000  # of one input are checked, in a larger one a random sample
SECONDS = 6.0  # about as long as one input's differences may take; the sample shrinks for it
FIXED = 0.03  # seconds for measuring again where one measurement told too little
SMALLEST = 1e-12  # of the largest gradient: what is less may come from rounding elsewhere


class Measurement:
    """Two functions, an upstream gradient, and all that was measured; diagnosis reads it."""

    def __init__(
        self, pair: FunctionPair, upstream: Any, seed: int, *, entries: int = ENTRIES,
        eps: float | None = None, atol: float | None = None, rtol: float | None = None,
    ) -> None:  # fmt: skip
        self.pair = pair
        self.entries, self.eps = entries, eps
        self.atol, self.rtol = atol or 0.0, rtol or 0.0
        self.rng = np.random.default_rng(seed)
        self.y0 = pair.join(pair.y)
        self.upstream = self._drawn(upstream)
        self.ones = isinstance(upstream, str)
        self.unit = self._unit()
        parts = [np.ravel(g) for g in compress(self.upstream, pair.floating)]
        self.g = np.where(np.isfinite(self.y0), np.concatenate(parts).astype(float), 0)
        self.checks: list[Check] = []
        self.reports: list[InputReport] = []
        self.directions: list[Direction] = []

    def _unit(self) -> float:
        """The relative rounding error of the outputs, from their type and as measured."""
        arrays = [*compress(self.pair.y, self.pair.floating), *self.pair.checked]
        coarse = max(float(np.finfo(a.dtype).eps) for a in arrays)
        direction = tied_direction(self.pair.checked, self.rng, move_zeros=False)
        return max(coarse, FLOAT64, measured_unit(lambda t: self.moved(direction, t), self.y0))

    def moved(self, direction: list[Array], t: Any) -> Array:
        """The outputs with the inputs moved by t along a direction."""
        inputs = self.pair.fresh()
        for i, d in zip(self.pair.wrt, direction, strict=True):
            moved = np.asarray(inputs[i] + t * d)
            inputs[i] = moved if np.iscomplexobj(moved) else np.asarray(moved, inputs[i].dtype)
        if isinstance(t, complex):
            outputs = compress(self.pair.outputs(inputs), self.pair.floating)
            return np.concatenate([y.ravel() for y in outputs])
        return self.outputs(inputs)

    def outputs(self, inputs: list[Any]) -> Array:
        """All outputs in one vector; NaN where forward cannot be called, as beside its domain."""
        try:
            y = self.pair.join(self.pair.outputs(inputs))
        except Broken:
            return np.full(self.y0.shape, np.nan)
        return y if y.shape == self.y0.shape else np.full(self.y0.shape, np.nan)

    def _drawn(self, upstream: Any) -> list[Any]:
        """One upstream gradient for each output, None for an integer one."""
        s = self.pair
        if upstream is None:
            draw: Callable = self.rng.standard_normal
        elif isinstance(upstream, str):
            if upstream != "ones":
                raise ArgumentError(f"upstream={upstream!r}: give None, 'ones' or an array")
            draw = np.ones
        else:
            given = list(upstream) if s.several else [upstream]
            shapes = [np.shape(g) for g in given]
            if shapes != [y.shape for y in s.y]:
                expected = [y.shape for y in s.y]
                raise ArgumentError(f"upstream has shape {shapes}, but forward returns {expected}")
            return [np.asarray(g, y.dtype) for g, y in zip(given, s.y, strict=True)]
        pairs = zip(s.y, s.floating, strict=True)
        return [
            np.where(np.isfinite(y), np.asarray(draw(y.shape)), 0).astype(y.dtype) if f else None
            for y, f in pairs
        ]

    # ---- the three parts ----------------------------------------------------------------------

    @np.errstate(all="ignore")
    def run(self) -> None:
        """Everything but the diagnosis."""
        s = self.pair
        start = time.perf_counter()
        self.checks += of_forward(s)
        self.seconds_a_call = (time.perf_counter() - start) / 3
        live = np.isfinite(self.y0) & self._live()
        self.rounding = self.unit * np.where(live, np.abs(self.y0), 0)
        self.natural = 4 * float(np.linalg.norm(self.g * self.rounding))
        self.backward = Backward(s, self.upstream, self.rng, self.unit)
        self.checks += self.backward.checks if self.ones else self.backward.ask_all()
        repeats = all(c.ok for c in self.checks if c.name == "forward repeats itself")
        for k in range(len(s.wrt) if repeats else 0):
            self.reports.append(self._one_input(k))
        given = self.atol or self.rtol  # then small errors may add up along a direction
        if repeats and not given and all(r.comparable for r in self.reports):
            self.directions += measured_along(self)

    def _live(self) -> Array:
        """Which outputs the inputs move at all; what the others are rounded by does not matter."""
        direction = [random_direction(x, self.rng) for x in self.pair.checked]
        return np.any([self.moved(direction, t) != self.y0 for t in (-0.3, 0.3)], axis=0)

    def _one_input(self, k: int) -> InputReport:
        """Compares one gradient with differences, entry by entry."""
        s, i = self.pair, self.pair.wrt[k]
        x, a = s.inputs[i], self.backward.gradients[k]
        where = self._sample(x.size)
        slopes = self._slopes(i, where)
        if a is not None and a.shape == x.shape and not np.isfinite(self.y0).all():
            slopes.bar[~np.isfinite(a.reshape(-1)[where])] = np.inf  # 0 inf is not a number
        tolerance = self._tolerance(k, slopes, where)
        report = InputReport(s.names[i], i, x.shape, a, where, slopes, tolerance)
        ties.reconsider(self, report)
        return report

    def _sample(self, size: int) -> Array:
        """Which entries to check: all, or a random sample."""
        afford = int(SECONDS / (4 * self.seconds_a_call + 2e-5))
        count = min(size, self.entries, max(24, afford))
        if count == size:
            return np.arange(size)
        return np.sort(self.rng.permutation(size)[:count])

    def _slopes(self, i: int, where: Array) -> Slopes:
        """The derivatives with respect to some entries of input i."""
        inputs = self.pair.fresh()
        x = inputs[i] = np.ascontiguousarray(inputs[i]).reshape(inputs[i].shape)
        flat, careful = x.reshape(-1), any(c.code == "GB009" for c in self.checks)
        steps = step_size(flat[where].astype(float), self.unit)
        if self.eps is not None:
            steps = np.full(len(where), float(self.eps))

        def line(entry: int, t: float) -> Array:
            at = where[entry]
            before = flat[at]
            flat[at] = before + t
            try:
                given = [np.array(a) for a in inputs] if careful else inputs
                return self.outputs(given)
            finally:
                flat[at] = before

        spare = int(FIXED / self.seconds_a_call)
        slopes = derivatives(line, steps, self.y0, self.g, self.rounding, spare)
        lost = self.unit * np.abs(flat[where]) / slopes.step  # x + h is rounded
        slopes.bar += np.nan_to_num(lost, posinf=0) * slopes.size
        slopes.bar[~np.isfinite(flat[where].astype(float))] = np.inf
        return slopes

    @np.errstate(all="ignore")
    def over_steps(self, r: InputReport) -> list[tuple[float, float, float]]:
        """The central difference at the worst entry for steps from 0.1 to 1e-9."""
        worst, result = r.worst(1)[0], []
        for h in map(float, 10.0 ** np.arange(-1, -10, -2)):
            n = self.central_difference(self.pair.inputs, r.place, worst.index, h)
            result.append((h, n, abs(worst.analytic - n)))
        return result

    def central_difference(self, inputs: list[Any], place: int, index: Any, h: float) -> float:
        """That of <g, y> in one entry, at these inputs."""
        ends = []
        for t in (h, -h):
            moved = [copied(x) for x in inputs]
            moved[place][index] += t
            ends.append(self.outputs(moved))
        return float((self.g * (ends[0] - ends[1])).sum() / (2 * h))

    def _tolerance(self, k: int, slopes: Slopes, where: Array) -> Array:
        """How far an entry may be off: the numeric error, and the rounding of the analytic one."""
        wobble = self.backward.wobble[k]
        shaky = 0.0
        if wobble is not None and wobble.size == self.pair.inputs[self.pair.wrt[k]].size:
            shaky = wobble.reshape(-1)[where]
        largest = np.nanmax(np.where(slopes.judged, slopes.size, 0), initial=0.0)
        relative = max(1e-8, 100 * self.unit)
        smallest = max(SMALLEST, 10 * self.unit) * largest
        # A slope so small that y would not move by its rounding if x doubled is as good as zero.
        x = np.abs(self.pair.inputs[self.pair.wrt[k]].astype(float).reshape(-1)[where])
        smallest += self.natural / np.maximum(1, np.nan_to_num(x))
        granted = self.atol + self.rtol * np.abs(slopes.value)
        return 3 * slopes.bar + 3 * shaky + relative * slopes.size + smallest + granted
