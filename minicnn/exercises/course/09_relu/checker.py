"""Checks ReLU and leaky ReLU off the kink with check_backward, at the kink by the convention."""

import numpy as np

from minicnn.exercises.checking import Formula, compare_call, gradients, sizes

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
            below = _below(op, params)
            right = np.where(x > 0, x, below * x)
            yield from compare_call(learner, f"{op}_forward(x)", [x], right, params)
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
    return compare_call(
        learner, f"{op}_backward(g, x)", [g, x], g * [below, 1, below, 1, below], params,
        where=f"{op}_backward at x = {x}: x > 0 is False at x = 0",
    )  # fmt: skip


def _near_kink(learner, rng):
    h = 0.25  # exact in binary: |x| = h can be asked for
    x = np.append(rng.uniform(-0.9, 0.9, 9), [h, -h, 0.0, 0.2, -0.2])
    expected = (abs(x) < h) * 1.0
    return compare_call(learner, "near_kink(x, h)", [x, h], expected, where="near_kink: |x| < h")
