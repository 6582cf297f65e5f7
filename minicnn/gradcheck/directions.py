"""Derivatives along directions through all inputs at once: they see every entry, and every tie.

Sampled entries leave others unseen, and at a tie each entry by itself may pass though together they
are too much.  A linear function is asked with a large step as well: <g, A d> = <A^T g, d> holds to
rounding then, in float32 too (the adjoint test).
"""

from typing import Any

import numpy as np

from .differences import Slopes, complex_slope, derivatives, step_size, tied_direction
from .report import Direction

Array = Any  # numpy.ndarray
ROUNDINGS = 1e5  # so many times the rounding error of y a linear function may bend, and a differ


def measured_along(measurement: Any) -> list[Direction]:
    """Random directions, and such that move equal numbers alike; then the adjoint test."""
    e, rng = measurement, measurement.rng
    wrt = e.pair.checked
    kinds = [("random", [random_direction(x, rng) for x in wrt]) for _ in range(2)]
    if any(r.mixed for r in e.reports):  # a tie may break in another way along each of them
        kinds = []
    kinds += [("equal numbers moved alike", tied_direction(wrt, rng, m)) for m in (False, True)]
    kinds = [(n, [_allowed(e, k, d) for k, d in enumerate(ds)]) for n, ds in kinds]
    steps = np.full(len(kinds), float(step_size(np.ones(1), e.unit)[0]))
    slopes = derivatives(lambda k, t: e.moved(kinds[k][1], t), steps, e.y0, e.g, e.rounding)
    result = [_compared(e, n, ds, slopes.only(np.array([k]))) for k, (n, ds) in enumerate(kinds)]
    if kinds[0][0] == "random":
        result[0].exact = _exact(e, kinds[0][1], result[0])
        if not any(r.kinks.any() for r in e.reports):
            result += _adjoints(e, kinds[1][1])
    return result


def random_direction(x: Array, rng: np.random.Generator) -> Array:
    """Normal numbers, as large as x's where those are large."""
    return rng.standard_normal(x.shape) * np.maximum(1, np.abs(x))


def _allowed(measurement: Any, k: int, d: Array) -> Array:
    """A direction without the entries that have no numeric derivative."""
    r = measurement.reports[k]
    flat = np.array(d, float).reshape(-1)
    flat[r.entries[~r.slopes.judged]] = 0
    flat[~np.isfinite(np.asarray(r.analytic, float).reshape(-1)) & ~r.wrong.reshape(-1)] = 0
    flat[~np.isfinite(measurement.pair.inputs[r.place].astype(float).reshape(-1))] = 0
    return flat.reshape(r.shape)


def _along(measurement: Any, ds: list[Array]) -> tuple[float, float]:
    """<a, d> over all inputs, and the sum of its terms' sizes."""
    products = [
        np.nan_to_num(np.asarray(r.analytic, float)) * d
        for r, d in zip(measurement.reports, ds, strict=True)
    ]
    return sum(float(p.sum()) for p in products), sum(float(np.abs(p).sum()) for p in products)


def _compared(measurement: Any, name: str, ds: list[Array], slopes: Slopes) -> Direction:
    e, (along, terms) = measurement, _along(measurement, ds)
    low, high, bar, size = (float(v[0]) for v in (slopes.low, slopes.high, slopes.bar, slopes.size))
    wobble = sum(float(np.sum(w)) for w in e.backward.wobble if w is not None)
    tolerance = 3 * bar + 3 * wobble + max(1e-8, 100 * e.unit) * (size + terms)
    tolerance += e.natural * np.sqrt(sum(r.numeric.size for r in e.reports))
    known = bool(slopes.judged[0]) and bar <= 0.03 * size
    ok = not known or low - tolerance <= along <= high + tolerance
    return Direction(name, along, float(slopes.value[0]), low, high, tolerance, ok, known)


def _exact(measurement: Any, ds: list[Array], first: Direction) -> float | None:
    """The same by the complex step, which is exact; trusted where it agrees with differences."""
    slope = complex_slope(lambda t: measurement.moved(ds, t), measurement.g)
    agrees = slope is not None and abs(slope - first.numeric) <= first.tolerance
    return slope if agrees and first.known else None


def _adjoints(measurement: Any, ds: list[Array]) -> list[Direction]:
    """<g, y(x + d) - y(x)> = <a, d> for each input in which y is linear."""
    e, result = measurement, []
    for k, r in enumerate(e.reports):
        alone = [d if j == k else np.zeros(d.shape) for j, d in enumerate(ds)]
        one, two, back = (e.moved(alone, t) - e.y0 for t in (1.0, 2.0, -1.0))
        scale = np.abs(e.y0) + np.abs(two)
        allowed = ROUNDINGS * e.unit * float(np.linalg.norm(e.g * scale))
        if not np.isfinite(allowed) or not one.any():
            continue
        bends = np.abs(e.g * (two - 2 * one)) + np.abs(e.g * (back + one))
        if not bends.max() <= 16 * e.unit * np.abs(e.g * scale).max():
            continue  # not linear, or not a number there
        along, terms = _along(e, alone)
        numeric, wobble = float((e.g * one).sum()), e.backward.wobble[k]
        tolerance = allowed + 100 * e.unit * terms
        tolerance += 0.0 if wobble is None else 3 * float(np.abs(wobble * alone[k]).sum())
        ok = abs(along - numeric) <= tolerance
        name = f"adjoint test of {r.name}"
        result.append(Direction(name, along, numeric, numeric, numeric, tolerance, ok, True))
    return result
