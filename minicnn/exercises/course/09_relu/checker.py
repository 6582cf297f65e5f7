"""Checks ReLU and leaky ReLU off the kink with check_backward, at the kink by the convention."""

import numpy as np

from minicnn.exercises.checking import Formula, Wrong, compare_call, gradients, sizes

TINY = 1e-200  # nearer to the kink than any step of a difference


def check(learner, rng):
    """ReLU, then leaky ReLU with its usual slope and another; two shapes each; then near_kink."""
    rows, columns, depth = sizes(rng, 3, 3, 5)
    a = float(rng.uniform(0.1, 0.4))
    for op, params in (
        ("relu", {}), ("leaky_relu", {}), ("leaky_relu", {"negative_slope": a}),
    ):  # fmt: skip
        for shape in ((rows, columns), (2, depth, columns)):
            x = _off_the_kink(rng, shape)
            yield from _forward(learner, op, x, params)
            yield from _backward(learner, op, x, params, rng)
            yield from _at_the_kink(learner, op, rng, params)
    yield from _near_kink(learner, rng)


def _off_the_kink(rng, shape):
    """Values of both signs, none near 0."""
    x = rng.uniform(0.1, 2.5, shape) * rng.choice([-1, 1], shape)
    x.flat[:2] = -abs(x.flat[0]), abs(x.flat[1])
    return x


def _below(op, params):
    """The slope to the left of 0."""
    return params.get("negative_slope", 0.01) if op == "leaky_relu" else 0.0


def _forward(learner, op, x, params):
    below = _below(op, params)
    wrong = [
        Wrong("mask-returned", "the mask, not the value", (x > 0) * 1.0, "x where x > 0"),
        Wrong("other-side", "what is negative is kept", np.minimum(x, 0), "x where x > 0"),
        Wrong("absolute-value", "negative values change their sign", abs(x), "0 where x < 0"),
        Wrong("negative-side-missing", "nothing is let through where x < 0", np.maximum(x, 0),
              "negative_slope · x where x is not positive"),
        Wrong("slope-fixed", "negative_slope is not used as given", np.where(x > 0, x, 0.01 * x),
              "the parameter, not its default value"),
        Wrong("constant-below", "negative_slope itself where x < 0", np.where(x > 0, x, below),
              "negative_slope · x where x is not positive"),
    ]  # fmt: skip
    return compare_call(
        learner, f"{op}_forward(x)", [x], np.where(x > 0, x, below * x), params, wrong=wrong
    )


def _backward(learner, op, x, params, rng):
    below = _below(op, params)
    right = Formula(
        # .real: x may be complex, for its derivative
        lambda x: np.where(x.real > 0, x, below * x), lambda g, x: np.where(x > 0, g, below * g)
    )  # fmt: skip
    return gradients(learner, f"{op}_backward", right, [x], rng, params)


def _at_the_kink(learner, op, rng, params):
    """At 0 the slope of the left side; beside it, however near, that of the side."""
    x = np.array([0.0, TINY, -TINY, 1.0, -1.0])
    g = rng.uniform(0.5, 1.5, x.shape)
    below = _below(op, params)

    def dx(zero, right, left):
        return g * [zero, right, left, 1, below]

    where = f"{op}_backward at x = {x}: x > 0 is False at x = 0"
    title = "another slope at x = 0 than the convention's, that of the left side"
    steps = "a difference that reaches across the kink"
    half = (1 + below) / 2
    wrong = [
        *(Wrong("slope-at-zero", title, dx(slope, 1, below), where) for slope in (1, half, 0)),
        *(Wrong("differences", steps, dx(slope, slope, slope), "the slope as a formula")
          for slope in (1, half, below)),
    ]  # fmt: skip
    return compare_call(
        learner, f"{op}_backward(g, x)", [g, x], dx(below, 1, below), params,
        wrong=wrong, where=where,
    )  # fmt: skip


def _near_kink(learner, rng):
    h = 0.25  # exact in binary: |x| = h can be asked for
    x = np.append(rng.uniform(-0.9, 0.9, 9), [h, -h, 0.0, 0.2, -0.2])
    expected = (abs(x) < h) * 1.0
    wrong = [
        Wrong("ends-counted", "|x| = h is no crossing", (abs(x) <= h) * 1.0,
              "near_kink: |x| < h; at |x| = h the difference is still exact"),
        Wrong("one-side", "only kinks on one side of x are seen", ((x >= 0) & (x < h)) * 1.0,
              "near_kink: x may be negative"),
        Wrong("one-side", "everything below h counts", (x < h) * 1.0,
              "near_kink: x may be negative"),
        Wrong("not-inverted", "True where no kink is near", 1 - expected, "near_kink: |x| < h"),
    ]  # fmt: skip
    return compare_call(
        learner, "near_kink(x, h)", [x, h], expected, wrong=wrong, where="near_kink: |x| < h"
    )
