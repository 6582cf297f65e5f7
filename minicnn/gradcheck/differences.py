"""Numeric derivatives, each with an error bar: what a gradient under test is compared with.

Along one line through the point, y is computed at five places: t = -h, -h/2, 0, h/2 and h.  They
give two central differences, whose disagreement is the error bar (Richardson), and a slope to the
left and to the right, which differ where y has a kink:

    D(h) = (y(h) - y(-h)) / 2h         central, its error grows with h^2
    R    = (4 D(h/2) - D(h)) / 3       Richardson: the h^2 term cancels
    s+   = (4 y(h/2) - y(h) - 3 y(0)) / h,   s- the same to the left
    s+ - s- = -(fourth difference) / h,      which is rounding alone where y is smooth

Source of the step: h = cbrt(u) max(1, |x|) balances truncation against rounding when y is known to
a relative error u.  See Nocedal and Wright, Numerical Optimization, section 8.1; the fourth
difference as a measure of noise is in More and Wild, "Estimating computational noise", 2011.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray
Line = Callable[[int, float], Array]  # (k, t) -> all outputs, flat, with line k moved by t

FLOAT64 = float(np.finfo(np.float64).eps)
REFINEMENTS = (1 / 32, 1 / 1024)  # of the step, where the first one told too little
BLOCK = 1 << 18  # so many numbers are judged at once


@dataclass
class Slopes:
    """d<g, y>/dt at t = 0 along K lines; all arrays have shape (K,).

    Where y is smooth, low = value = high.  At a kink each output may take any slope between its
    one-sided ones, and [low, high] is the sum of those ranges; value is the middle.
    """

    value: Array
    low: Array
    high: Array
    bar: Array  # how far value, low and high may be off
    size: Array  # sum of |g dy/dt|: the size of the terms that add up to value
    kink: Array  # bool: the slopes to the left and to the right differ
    beside: Array  # bool: there is a kink, or more of a curve, between 0 and h
    loose: Array  # bool: a smaller step may tell more
    unseen: Array  # the part of bar that outputs contribute which did not move, if they are rounded
    noise: Array  # what rounding contributes to the fourth difference of <g, y>, over h
    step: Array

    def put(self, where: Array, other: "Slopes") -> None:
        """Replaces the lines `where` by other's."""
        for field in fields(self):
            getattr(self, field.name)[where] = getattr(other, field.name)

    def only(self, where: Array) -> "Slopes":
        """Some of the lines."""
        return Slopes(*(getattr(self, field.name)[where] for field in fields(self)))

    @property
    def doubt(self) -> Array:
        """The error bar relative to the terms; infinite where nothing finite is known."""
        known = self.judged & (self.size > 0)
        return np.where(known, self.bar / np.where(known, self.size, 1), np.inf)

    @property
    def judged(self) -> Array:
        """Where there is a number to compare with: y stayed finite, and the error bar is too."""
        return np.isfinite(self.bar) & np.isfinite(self.low) & np.isfinite(self.high)


def step_size(x: Array, unit: float) -> Array:
    """cbrt(unit) max(1, |x|), rounded to a power of two, so that x + h is exact as a rule."""
    scale = np.maximum(1, np.abs(np.where(np.isfinite(x), x, 1)))
    return np.exp2(np.round(np.log2(np.cbrt(unit) * scale)))


def derivatives(
    line: Line, steps: Array, y0: Array, g: Array, rounding: Array, spare: int = 48
) -> Slopes:
    """The derivatives of <g, y> along lines 0 .. len(steps) - 1, by four evaluations each.

    Lines that a kink beside the point, a strong curvature or the edge of the domain leaves
    uncertain are measured again with smaller steps, within five evaluations a line on average.

    Parameters
    ----------
    line
        line(k, t): the outputs, flat in float64, with line k moved by t.
    steps
        h of each line, shape (K,).
    y0
        The outputs at the point, shape (M,).
    g
        The upstream gradient, shape (M,).
    rounding
        By how much each output may be rounded, shape (M,).
    spare
        So many evaluations more may be used.
    """
    slopes = _measure(line, np.arange(len(steps)), steps, y0, g, rounding)
    left = len(steps) + spare
    for factor in REFINEMENTS:
        some = np.flatnonzero(slopes.loose)[: left // 4]
        left -= 4 * len(some)
        finer = _measure(line, some, steps[some] * factor, y0, g, rounding)
        better = ~finer.loose | (finer.doubt <= slopes.only(some).doubt)
        slopes.put(some[better], finer.only(better))
    slopes.bar[slopes.beside] = np.inf  # a slope measured across a kink is none
    for k in np.flatnonzero(slopes.unseen > 1e-7 * slopes.size)[:left]:
        _look_far(line, int(k), y0, g, rounding, slopes)
    return slopes


def _look_far(line: Line, k: int, y0: Array, g: Array, rounding: Array, slopes: Slopes) -> None:
    """Takes outputs out of the error bar that not even a large step along the line moves."""
    far = line(k, 2**14 * slopes.step[k])
    moved = (far != y0) & ~np.isnan(y0)
    unseen = np.sqrt(((g * rounding * moved) ** 2).sum()) * 4 / slopes.step[k]
    slopes.bar[k] -= max(0.0, slopes.unseen[k] - unseen)


def _measure(
    line: Line, lines: Array, steps: Array, y0: Array, g: Array, rounding: Array
) -> Slopes:
    """The five points of each line, and what they say, a block of lines at a time."""
    blocks, count = [], max(1, BLOCK // max(1, 4 * y0.size))
    for start in range(0, max(1, len(lines)), count):
        some, h = lines[start : start + count], steps[start : start + count]
        points = np.empty((4, len(some), y0.size))  # (which t, line, output)
        for j, k in enumerate(some):
            for i, t in enumerate((-h[j], -h[j] / 2, h[j] / 2, h[j])):
                points[i, j] = line(int(k), t)
        blocks.append(_judge(points, y0, g, h, rounding))
    parts = [[getattr(b, f.name) for b in blocks] for f in fields(Slopes)]
    result = Slopes(*(np.concatenate(part) for part in parts))
    _share_noise(result)
    return result


@np.errstate(all="ignore")
def _judge(points: Array, y0: Array, g: Array, steps: Array, rounding: Array) -> Slopes:
    """What the five points of each line say about the slope of each output, summed with g."""
    h = steps[:, None]
    far_left, left, right, far_right = np.where(points == y0, 0, points - y0)  # (line, output)
    central, finer = (far_right - far_left) / (2 * h), (right - left) / h
    up, down = (4 * right - far_right) / h, (far_left - 4 * left) / h
    change = np.maximum(np.abs(far_left), np.abs(far_right))
    rounding = 4 * rounding / h
    jump = np.abs(up - down)
    corner = (jump * h > 1e-3 * change) & (jump > 25 * rounding)
    bent = np.maximum(np.abs(far_left - 2 * left), np.abs(far_right - 2 * right))
    smooth = (4 * finer - central) / 3
    one, other = g * np.where(corner, up, smooth), g * np.where(corner, down, smooth)
    error = np.where(corner, 2 * bent / h, np.abs(central - finer) + jump)
    moved = change != 0  # an output that did not move may have moved by less than it is rounded
    unseen = np.sqrt(((g * rounding * ~moved) ** 2).sum(1))
    low, high = np.minimum(one, other).sum(1), np.maximum(one, other).sum(1)
    bar = (np.abs(g) * (error + rounding * moved)).sum(1) + unseen
    size = np.maximum(np.abs(one), np.abs(other)).sum(1)
    beside = (corner & (bent > 0.02 * change) & (g != 0)).any(1)  # a kink between 0 and h
    known = np.isfinite(low + high + bar)
    return Slopes(
        value=(low + high) / 2, low=low, high=high, bar=bar, size=size,
        kink=known & (high - low > np.maximum(1e-6 * size, bar)),
        beside=beside, loose=~known | beside | (bar - unseen > 1e-5 * size),
        unseen=unseen,
        noise=np.abs((g * np.where(corner, 0, up - down)).sum(1)), step=steps,
    )  # fmt: skip


def _share_noise(slopes: Slopes) -> None:
    """Widens the bars by the typical noise, which a single line shows only by chance."""
    quiet = slopes.judged & ~slopes.kink & (slopes.size > 0)
    if quiet.any():
        typical = np.median((slopes.noise * slopes.step)[quiet])
        slopes.bar += np.where(quiet, 2 * typical / slopes.step, 0)


def measured_unit(along: Callable[[float], Array], y0: Array) -> float:
    """The relative rounding error of a function, measured along one line.

    It is float64's for a function that computes in float64, and far larger for one that goes
    through float32 inside, whatever type it returns.  Rounding is as large for a smaller step,
    where a curve is much less curved: that tells them apart.
    """
    h = float(np.cbrt(FLOAT64))
    one, other = _noise(along, y0, h), _noise(along, y0, h / 8)
    rounding = min(one, other) > 1e3 * FLOAT64 and other > one / 64
    return min(max(one, other), 1e-3) if rounding else FLOAT64


@np.errstate(all="ignore")
def _noise(along: Callable[[float], Array], y0: Array, h: float) -> float:
    """The fourth difference over steps of h/2, relative to y, as if it were rounding alone."""
    fourth, moved = 6 * y0, np.zeros(y0.shape, bool)
    for place, weight in {-2: 1, -1: -4, 1: -4, 2: 1}.items():
        y = along(place * h / 2)
        fourth, moved = fourth + weight * y, moved | (y != y0)
    moved &= np.isfinite(fourth) & (y0 != 0)
    if not moved.any():
        return 0.0
    return float(np.median(np.abs(fourth[moved] / y0[moved]))) / np.sqrt(70)


def tied_direction(inputs: list[Array], rng: np.random.Generator, move_zeros: bool) -> list[Array]:
    """A random direction in which equal numbers stay equal: max has no kink along it.

    Numbers that are 0 stay 0 unless move_zeros, so that no ReLU crosses its kink either.
    """
    flat = np.concatenate([x.ravel() for x in inputs])
    values, which = np.unique(flat, return_inverse=True)
    pace = rng.standard_normal(values.size) * np.maximum(1, np.abs(values))
    pace[~np.isfinite(values) | ((values == 0) & (not move_zeros))] = 0
    ends = np.cumsum([x.size for x in inputs])[:-1]
    parts = np.split(pace[which.ravel()], ends)
    return [d.reshape(x.shape) for d, x in zip(parts, inputs, strict=True)]


def complex_slope(along: Callable[[complex], Array], g: Array) -> float | None:
    """Im <g, y(ih)> / h with h = 1e-100: exact to rounding where y is analytic, else None.

    None too where the function takes no complex numbers.  It must still be compared with a
    difference: np.abs drops the imaginary part, and comparisons look at the real part alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # as where an imaginary part is discarded
            y = along(1e-100j)
    except Exception:
        return None
    return float((g * y.imag).sum() / 1e-100) if np.iscomplexobj(y) else None


def numeric_gradient(
    f: Callable[[], Any], x: np.ndarray, eps: float = 1e-6, upstream: Any = 1.0
) -> np.ndarray:
    """d(f . upstream)/dx by central differences, element by element: (f(x + h) - f(x - h)) / 2h.

    f takes no argument, reads x, which is changed in place and put back, and returns a number or an
    array; an array's differences are taken before they are weighted with `upstream` and added up,
    so that a large output does not drown a small one's.  h = eps max(1, |x|), and the quotient uses
    the step really taken in floating point.
    """
    result = np.empty(x.shape, x.dtype)
    for index in np.ndindex(x.shape):
        before = x[index]
        h = eps * max(1.0, abs(float(before)))
        try:
            x[index] = before + h
            high, above = x[index], f()
            x[index] = before - h
            low, below = x[index], f()
        finally:
            x[index] = before
        result[index] = np.sum((above - below) * upstream) / (high - low)
    return result
