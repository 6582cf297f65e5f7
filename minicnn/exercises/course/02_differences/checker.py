"""Checks the four functions on functions whose derivatives are known."""

import numpy as np

from minicnn.exercises.checking import Finding, compare, compare_call, same, sizes

ALLOW = ("differences",)  # they are what the learner is to write
ROUGH = 1e-6  # of numeric_gradient, relative to the largest entry


def check(learner, rng):
    """The two quotients, the step, then the gradient."""
    for part in (_quotients, _step, _gradient, _whole_numbers):
        yield from part(learner, rng)


def _quotients(learner, rng):
    """On cubics with large h, where forward, backward and central differ plainly."""
    p = rng.uniform(0.5, 2.0, 3)
    x, h = float(rng.uniform(0.5, 2.0)), float(rng.uniform(0.1, 0.3))

    def f(x):
        return float(p[0] * x**3 - p[1] * x**2 + p[2] * x)

    at = f"(f, {x:.3g}, {h:.3g})"
    forward, central = (f(x + h) - f(x)) / h, (f(x + h) - f(x - h)) / (2 * h)
    yield from compare_call(learner, f"forward_difference{at}", [f, x, h], forward)
    yield from compare_call(learner, f"central_difference{at}", [f, x, h], central)


def _step(learner, rng):
    """best_h within a factor of 20 of the step derived, in proportion to a large x."""
    ideal = np.finfo(float).eps ** (1 / 3)
    for x in (float(rng.uniform(-1, 1)), 0.0, float(rng.uniform(2e4, 9e4)), -3e6):
        returned = learner.best_h(x)
        scale = max(1.0, abs(x))
        expected = f"about {ideal * scale:.1e}, within a factor of 20"
        if not isinstance(returned, float | int | np.floating):
            yield Finding("type", "best_h returns no number", expected, type(returned).__name__)
        if not returned > 0:
            yield Finding("GB002", f"best_h({x:.4g}) is not positive", expected, f"{returned:.2g}",
                          "max(1, |x|), with the absolute value")  # fmt: skip
        ratio = returned / (ideal * scale)
        if 1 / 20 < ratio < 20:
            continue
        if scale > 1 and 1 / 20 < returned / ideal < 20:
            code, title = "h-not-scaled", "the step does not grow with x"
        elif ratio > 1:
            code, title = "h-too-large", "the step is too large: h^2/6 is what is left"
        else:
            code, title = "h-too-small", "the step is too small: rounding, eps/h, takes over"
        where = "eps^(1/3) * max(1, |x|); the picture in the text has the two errors"
        yield Finding(code, title, f"best_h({x:.4g}) {expected}", f"{returned:.2e}", where)


def _gradient(learner, rng):
    """On a smooth function of an array whose gradient is known; x must come back as it was."""
    shape = tuple(sizes(rng, 2, 2, 4))
    x, p = rng.uniform(0.5, 1.5, shape), rng.uniform(0.5, 1.5, shape)
    calls = []

    def f(at):
        calls.append(np.array(at))
        return float((p * np.sin(at)).sum() + at.sum() ** 2)

    returned = learner.numeric_gradient(f, x)
    expected = p * np.cos(x) + 2 * x.sum()
    h = np.finfo(float).eps ** (1 / 3)
    left_over = [np.count_nonzero(np.abs(at - x) > h / 10) for at in calls]
    where = "numeric_gradient: x[i] = before, when the entry is done"
    wrong = learner.wrong(lambda planted: planted.numeric_gradient(f, x.copy()))
    findings = compare(
        "numeric_gradient(f, x)", returned, expected, wrong=wrong, axes="x", tolerance=ROUGH,
        where="numeric_gradient",
    )  # fmt: skip
    moved = len(left_over) > 0 and max(left_over) > 1
    if moved and (not findings or findings[0].code == "value"):
        return [
            Finding("not-put-back", "entries stay moved while others are measured",
                    "f called with one entry moved", f"up to {max(left_over)} moved", where)
        ]  # fmt: skip
    return findings


def _whole_numbers(learner, rng):
    """An integer array, whose step would be rounded away."""
    x = rng.permutation(np.arange(1, 5)).reshape(2, 2)
    returned, expected = learner.numeric_gradient(lambda x: float((x * x).sum()), x), 2.0 * x
    if not same(returned, expected, ROUGH):
        yield Finding(
            "GB011", "an integer x rounds the step away", f"{expected.tolist()} at {x.tolist()}",
            f"{np.asarray(returned).tolist()}", "x = np.array(x, dtype=float), before x[i] + h",
        )  # fmt: skip
