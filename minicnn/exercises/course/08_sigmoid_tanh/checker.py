"""Checks sigmoid, tanh and scaled tanh, at large |x| too, and their backward passes."""

import warnings

import numpy as np

from minicnn.exercises.checking import Finding, Reference, compare, compare_call, gradients, sizes

LENET = {"amplitude": 1.7159, "slope": 2 / 3}


def check(learner, rng):
    """Function after function: values, large numbers, gradients."""
    rows, columns, depth = sizes(rng, 3, 3, 5)
    flat = 1.5 * rng.standard_normal((rows, columns))
    deep = 1.5 * rng.standard_normal((2, depth, rows))
    other = {"amplitude": rng.uniform(1.8, 2.2), "slope": rng.uniform(0.7, 0.9)}
    for op, x, params in (
        ("sigmoid", flat, {}), ("sigmoid", deep, {}), ("tanh", flat, {}), ("tanh", deep, {}),
        ("scaled_tanh", flat, {}), ("scaled_tanh", deep, other),
    ):  # fmt: skip
        right = _right(op, params)
        yield from compare_call(learner, f"{op}_forward(x)", [x], right.forward(x), params)
        yield from _large(learner, op)
        yield from gradients(learner, f"{op}_backward", right, [x], rng, params)


def _right(op, params):
    return Reference(op, *(LENET | params).values()) if op == "scaled_tanh" else Reference(op)


def _large(learner, op):
    """Where exp overflows: the right values, and no warning on the way to them."""
    name, x = f"{op}_forward", np.array([-1000.0, 1000.0])
    expected = _right(op, {}).forward(x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        returned = np.asarray(getattr(learner, name)(x))
    said = [str(warning.message) for warning in caught]
    if said or not np.isfinite(returned).all():
        where = "an exponent that is positive: take −|x|; np.where computes both of its branches"
        return [Finding(
            "overflow", f"{name} overflows at large |x|",
            f"{name}({x}) = {expected}, no warning", "; ".join([str(returned), *said]), where,
        )]  # fmt: skip
    return compare(f"{name}({x})", returned, expected, where=name)
