"""check_backward: right gradients pass wherever they are, wrong ones are found and named."""

import json
import re
import time

import numpy as np
import pytest

from minicnn.errors import ArgumentError
from minicnn.gradcheck import assert_gradients, bugs, check_backward
from minicnn.gradcheck.differences import (
    FLOAT64,
    complex_slope,
    derivatives,
    measured_unit,
    step_size,
)  # fmt: skip

RNG = np.random.default_rng(5)


def normal(*shape):
    return RNG.standard_normal(shape)


def codes(report):
    return [d.code for d in report.diagnosis]


# ---- numeric derivatives, against derivatives known in closed form ----------------------------

SMOOTH = {  # y(x), y'(x)
    "exp": (np.exp, np.exp, [-50, 0, 1, 5]),
    "sin": (np.sin, np.cos, [1e-9, 0.5, 1e3, 1e6]),
    "cube": (lambda x: x**3, lambda x: 3 * x**2, [0, 1e-8, -2, 1e5]),
    "log": (np.log, lambda x: 1 / x, [1e-7, 1e-4, 1, 1e6]),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, [1e-6, -1e-3, 1, 1e5]),
    "steep": (lambda x: np.sin(1e4 * x), lambda x: 1e4 * np.cos(1e4 * x), [0.1, 0.2, -0.7]),
    "cancelling": (lambda x: (1e6 + x) - 1e6, np.ones_like, [0.1, 0.2, 0.3]),
}


def measured(y, x):
    """Slopes of an element-wise function."""

    def line(k, t):
        moved = x.copy()
        moved[k] += t
        return y(moved)

    y0, unit = y(x), FLOAT64
    return derivatives(line, step_size(x, unit), y0, np.ones(x.size), unit * np.abs(y0))


@pytest.mark.parametrize("name", SMOOTH)
def test_error_bars_hold_the_error(name):
    y, slope, points = SMOOTH[name]
    x = np.array(points, float)
    with np.errstate(invalid="ignore"):  # log(x - h) is NaN at first
        found = measured(y, x)
    assert found.judged.all()
    assert not found.kink.any()
    assert (np.abs(found.value - slope(x)) <= 3 * found.bar + 1e-12 * np.abs(slope(x))).all()
    assert (found.bar <= 1e-2 * np.abs(slope(x)) + 1e-9).all()  # and are of some use


def test_one_sided_slopes_at_a_kink():
    found = measured(lambda x: np.maximum(x, 0) * 3, np.array([0.0, 1.0, -1.0, 0.0]))
    np.testing.assert_allclose(found.low, [0, 3, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.high, [3, 3, 0, 3], atol=1e-9)
    assert list(found.kink) == [True, False, False, True]


def test_a_kink_beside_the_point_is_told_from_one_at_it():
    """At 1e-6 the first step crosses the kink; a smaller one does not."""
    x = np.array([1e-6, -1e-6, 3e-6, -5e-6])
    found = measured(np.abs, x)
    np.testing.assert_allclose(found.value, np.sign(x), atol=1e-6)
    assert not found.kink.any()


def test_float32_inside_is_measured():
    x = normal(50)
    exact = measured_unit(lambda t: np.tanh(x + t), np.tanh(x))
    coarse = measured_unit(
        lambda t: np.tanh(np.float32(x + t)).astype(float), np.tanh(np.float32(x)).astype(float)
    )
    assert exact == FLOAT64
    assert 1e-9 < coarse < 1e-6


def test_the_complex_step_is_exact_and_says_where_it_cannot_be_used():
    x, g = np.array([0.3, 0.7]), np.array([1.0, 2.0])
    exact = complex_slope(lambda t: np.exp((x + t) ** 2), g)
    assert exact == pytest.approx((g * 2 * x * np.exp(x**2)).sum(), rel=1e-15)
    assert complex_slope(lambda t: (x + t).real, g) is None
    assert complex_slope(lambda t: np.abs(x + t), g) is None  # the imaginary part is gone
    assert complex_slope(lambda t: np.asarray(x + t, float), g) is None


# ---- right gradients: no alarm ------------------------------------------------------------------


def relu(x):
    return np.maximum(x, 0)


def pooled(x):
    h, w = x.shape
    return x.reshape(h // 2, 2, w // 2, 2).max((1, 3))


def pooled_first(g, x):
    """The first maximum of each window gets all."""
    h, w = x.shape
    windows = x.reshape(h // 2, 2, w // 2, 2).transpose(0, 2, 1, 3).reshape(h // 2, w // 2, 4)
    chosen = np.eye(4)[windows.argmax(-1)] * g[..., None]
    return chosen.reshape(h // 2, w // 2, 2, 2).transpose(0, 2, 1, 3).reshape(h, w)


def pooled_evenly(g, x):
    """The maxima of each window share."""
    best = pooled(x).repeat(2, 0).repeat(2, 1) == x
    h, w = x.shape
    count = best.reshape(h // 2, 2, w // 2, 2).sum((1, 3))
    return best * (g / count).repeat(2, 0).repeat(2, 1)


def normalised(x):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def normalised_backward(g, x):
    s = np.sqrt(x.var(0) + 1e-5)
    h = (x - x.mean(0)) / s
    return (g - g.mean(0) - h * (g * h).mean(0)) / s


def unstable_backward(g, x):
    """The right formula, with a variance that loses 10 of 16 digits when the mean is 1e5."""
    s = np.sqrt((x**2).mean(0) - x.mean(0) ** 2 + 1e-5)
    h = (x - x.mean(0)) / s
    return (g - g.mean(0) - h * (g * h).mean(0)) / s


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_backward(g, x):
    p = softmax(x)
    return p * (g - (g * p).sum(1, keepdims=True))


def cross_entropy(x, t):
    return -np.log(softmax(x)[np.arange(len(t)), t]).mean()


def cross_entropy_backward(g, x, t):
    p = softmax(x)
    p[np.arange(len(t)), t] -= 1
    return g * p / len(t), None


def inverse_backward(g, x):
    i = np.linalg.inv(x)
    return -i.T @ g @ i.T


def hilbert(n):
    return 1 / (np.arange(n)[:, None] + np.arange(n) + 1.0)


def in_float32(x):
    assert x.dtype == np.float32
    return x * x


def median_backward(g, x):
    return g * (np.arange(len(x)) == np.argsort(x, kind="stable")[len(x) // 2])


def sort_backward(g, x):
    return g[np.argsort(np.argsort(x, kind="stable"), kind="stable")]


LABELS = np.array([0, 3, 1, 1, 2])
SQUARES = np.arange(12.0).reshape(4, 3) ** 2
TIES = [np.random.default_rng(s).integers(0, 3, (4, 6)) * 1.0 for s in range(4)]
RIGHT = {
    "relu at 0, slope 0": (relu, lambda g, x: g * (x > 0), np.zeros((3, 4))),
    "relu at 0, slope 1/2": (relu, lambda g, x: g * ((x > 0) + 0.5 * (x == 0)), TIES[0] - 1),
    "relu at 0, slope 1": (relu, lambda g, x: g * (x >= 0), TIES[0] - 1),
    "relu near 0": (relu, lambda g, x: g * (x > 0), np.array([1e-6, -1e-6, 3e-6, 1e-9, -1e-13])),
    "abs at 0": (np.abs, lambda g, x: g * np.sign(x), np.array([0, 1.0, -2, 0, 1e-7, -1e-9])),
    "clip at its edges": (
        lambda x: np.clip(x, 0, 1), lambda g, x: g * ((x >= 0) & (x <= 1)),
        np.array([0, 1, 0.5, -1, 2, 0, 1.0]),
    ),
    **{f"max pooling, ties {i}": (pooled, pooled_first, x) for i, x in enumerate(TIES)},
    **{f"max pooling, ties shared {i}": (pooled, pooled_evenly, x) for i, x in enumerate(TIES)},
    "max pooling of zeros": (pooled, pooled_first, np.zeros((4, 4))),
    "max pooling of a relu": (
        lambda x: pooled(relu(x)), lambda g, x: pooled_first(g, relu(x)) * (x > 0), TIES[1] - 1,
    ),
    "many max pooling ties": (pooled, pooled_first, relu(np.round(normal(40, 40)))),
    "median of ties": (np.median, median_backward, np.array([1.0, 1, 1, 2, 0])),
    "sort with ties": (np.sort, sort_backward, np.array([3.0, 1, 2, 1, 1])),
    **{
        f"batch norm, mean {m:.0e}": (normalised, normalised_backward, normal(8, 3) + m)
        for m in (0, 1e2, 1e4, 1e6, 1e8)
    },
    **{
        f"batch norm, spread {s:.0e}": (normalised, normalised_backward, normal(8, 3) * s)
        for s in (1e-8, 1e-4, 1e4, 1e8)
    },
    "an ill-conditioned backward": (normalised, unstable_backward, normal(8, 3) + 1e5),
    "batch norm of one": (normalised, normalised_backward, normal(1, 3)),
    "batch norm of constants": (normalised, normalised_backward, np.ones((4, 3))),
    **{
        f"softmax of {s:.0e}": (softmax, softmax_backward, normal(4, 5) * s)
        for s in (1e-6, 1, 100, 1e3, 1e6)
    },
    "softmax of one class": (softmax, softmax_backward, normal(4, 1)),
    "softmax with -inf": (softmax, softmax_backward, np.array([[1, -np.inf, 0.5], [0, 2, 9]])),
    "log near 0": (np.log, lambda g, x: g / x, np.array([1e-12, 1e-8, 1e-3, 1, 1e8])),
    **{
        f"log of a number, draw {i}": (np.log, lambda g, x: g / x, np.array([[c]]))
        for i, c in enumerate([0.3, 0.5, 0.9, 1.3, 2.1])
    },
    "log of 0": (np.log, lambda g, x: g / x, np.array([0, 1e-300, 1.0])),
    "sqrt of 0": (np.sqrt, lambda g, x: g / (2 * np.sqrt(x)), np.array([0, 1e-12, 1e-6, 1, 1e10])),
    "1/x at a pole": (lambda x: 1 / x, lambda g, x: -g / x**2, np.array([0, 1e-6, -1e-4, 1.0])),
    "exp to infinity": (np.exp, lambda g, x: g * np.exp(x), np.array([-700, 0, 50, 700, 800.0])),
    "x^4 at 0": (lambda x: x**4, lambda g, x: 4 * x**3 * g, np.zeros(3)),
    "large numbers": (lambda x: x * 1e200, lambda g, x: g * 1e200, normal(3) * 1e50),
    "small numbers": (lambda x: x * 1e-200, lambda g, x: g * 1e-200, normal(3)),
    "outputs of two sizes": (
        lambda x: np.concatenate([1e12 * x, 1e-6 * x * x]),
        lambda g, x: 1e12 * g[:3] + 2e-6 * x * g[3:], normal(3),
    ),
    "a large constant output": (
        lambda x: np.append(x * x, 1e12), lambda g, x: 2 * x * g[:-1], normal(3),
    ),
    "inverse of a Hilbert matrix": (np.linalg.inv, inverse_backward, hilbert(8)),
    "float32 inputs": (lambda x: x * x, lambda g, x: 2 * g * x, normal(3, 4).astype("f4")),
    "float16 inputs": (lambda x: x * x, lambda g, x: 2 * g * x, normal(3, 4).astype("f2")),
    "float32 insisted on": (in_float32, lambda g, x: 2 * g * x, normal(3, 4).astype("f4")),
    "float32 inside": (
        lambda x: np.tanh(x.astype("f4")).astype(float),
        lambda g, x: g * (1 - np.tanh(x) ** 2), normal(3, 4),
    ),
    "no entries": (lambda x: x * 2, lambda g, x: 2 * g, np.zeros((0, 3))),
    "size-1 axes": (lambda x: x.sum(1), lambda g, x: np.broadcast_to(g[:, None], x.shape).copy(),
                    normal(1, 1, 1)),
    "a number": (lambda x: x * 2, lambda g, x: 2 * g, 3.0),
    "a 0-dim array": (lambda x: x * 2, lambda g, x: 2 * g, np.array(3.0)),
    "a Python float returned": (lambda x: float((x * x).sum()), lambda g, x: 2 * g * x, normal(3)),
    "a list returned": (
        lambda x: [float(x[0] ** 2), float(x[1])], lambda g, x: np.array([2 * x[0] * g[0], g[1]]),
        normal(2),
    ),
    "two outputs": (lambda x: (x * 2, x.sum()), lambda g, x: 2 * g[0] + g[1], normal(3)),
    "an integer output beside": (
        lambda x: (x.max(1), x.argmax(1)),
        lambda g, x: np.eye(4)[x.argmax(1)] * g[0][:, None], normal(3, 4),
    ),
    "g returned": (lambda x: x, lambda g, x: g, normal(2, 3)),
    "a view of g returned": (lambda x: x.T, lambda g, x: g.T, normal(2, 3)),
    "a non-contiguous input": (
        lambda x: x @ x.T, lambda g, x: (g + g.T) @ x, normal(6, 8)[::2, ::-2],
    ),
    "a NaN among the outputs": (
        lambda x: np.array([np.nan, x[0] * 2, x[1]]), lambda g, x: np.array([2 * g[1], g[2]]),
        normal(2),
    ),
    "a bias before batch norm": (
        lambda b: normalised(SQUARES + b), lambda g, b: normalised_backward(g, SQUARES + b).sum(0),
        normal(3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_passes(name):
    forward, backward, x = RIGHT[name]
    report = check_backward(forward, backward, [x])
    assert report.ok, str(report)
    assert report.diagnosis == []


def test_right_gradients_of_several_inputs_pass():
    assert check_backward(np.add, lambda g, x, y: (g, g), [normal(2, 3), normal(2, 3)])
    assert check_backward(
        np.maximum, lambda g, x, y: (g * (x >= y), g * (x < y)),
        [np.array([1.0, 2, 0]), np.array([1.0, 1, 0])],
    )  # fmt: skip
    assert check_backward(cross_entropy, cross_entropy_backward, [normal(5, 4) * 30, LABELS])
    alone = check_backward(
        cross_entropy, lambda g, x, t: cross_entropy_backward(g, x, t)[0], [normal(5, 4), LABELS]
    )
    assert alone
    assert [r.name for r in alone.inputs] == ["x"]
    assert check_backward(lambda x, s: x * s, lambda g, x, s: (g * s, None), [normal(3), 2])
    assert check_backward(lambda x, y: x * 2, lambda g, x, y: (2 * g, None), [normal(3), normal(2)])


@pytest.mark.parametrize("name", list(bugs.OPERATIONS))
def test_right_gradients_of_the_known_operations_pass(name):
    op = bugs.OPERATIONS[name]
    for seed in range(3):
        inputs, params = op.sample(np.random.default_rng(seed))
        report = check_backward(
            lambda *a, op=op, params=params: op.forward(*a, **params),
            lambda g, *a, op=op, params=params: op.backward(g, *a, **params),
            inputs, seed=seed, **({"op": name, "params": params} if seed else {}),
        )  # fmt: skip
        assert report.ok, str(report)


def test_kinks_are_counted_and_explained():
    report = check_backward(relu, lambda g, x: g * (x > 0), [np.array([0.0, 1, -1, 0])])
    assert report.inputs[0].kinks.tolist() == [True, False, False, True]
    assert "2 entries of x lie on a kink" in report.notes[0]


# ---- wrong gradients ----------------------------------------------------------------------------


def linear(x, w):
    return x @ w.T


LINEAR = [normal(6, 3), normal(4, 3)]


@pytest.mark.parametrize("c", [-1, 0, 0.5, 2, 1 + 1e-6, 1 - 1e-6])
def test_a_factor_is_found_however_small(c):
    report = check_backward(linear, lambda g, x, w: (g @ w, c * g.T @ x), LINEAR)
    assert [r.ok for r in report.inputs] == [True, False]
    assert report.inputs[1].share > 0.5


def test_one_wrong_entry_is_found_and_placed():
    def backward(g, x, w):
        dw = g.T @ x
        dw[2, 1] *= 1.001
        return g @ w, dw

    report = check_backward(linear, backward, LINEAR)
    assert [e.index for e in report.inputs[1].worst()] == [(2, 1)]
    assert "dw is wrong only at 2 of axis 0 (size 4)" in report.clues
    assert "dw is wrong only at 1 of axis 1 (size 3)" in report.clues


def test_a_mistake_that_shows_only_on_ties_is_found():
    """Each entry by itself lies between the one-sided slopes; together they are too much."""

    def every_tie(g, x):
        return (pooled(x).repeat(2, 0).repeat(2, 1) == x) * g.repeat(2, 0).repeat(2, 1)

    report = check_backward(pooled, every_tie, [TIES[0]])
    assert report.inputs[0].ok
    assert not report.ok
    assert "along a direction (" in report.summary()
    assert [d.ok for d in report.directions if d.name == "equal numbers moved alike"] != [
        True,
        True,
    ]
    pool = bugs.OPERATIONS["max_pool2d"]
    mutant = next(m for m in pool.mutants if m.code == "GB067")
    report = check_backward(
        lambda x: pool.forward(x, 2), lambda g, x: mutant.backward(g, x, 2), [TIES[0][None, None]],
        op="max_pool2d", params={"kernel_size": 2},
    )  # fmt: skip
    assert codes(report)[0] == "GB067"


def test_a_linear_function_is_tested_by_its_adjoint():
    """To rounding: a factor of 1 + 1e-9 is beyond what differences can see."""
    right = check_backward(linear, lambda g, x, w: (g @ w, g.T @ x), LINEAR)
    names = [d.name for d in right.directions]
    assert names[-2:] == ["adjoint test of x", "adjoint test of w"]
    report = check_backward(linear, lambda g, x, w: (g @ w, g.T @ x * (1 + 1e-9)), LINEAR)
    assert [d.name for d in report.directions if not d.ok] == ["adjoint test of w"]
    bent = check_backward(
        lambda x, w: np.tanh(x @ w.T), lambda g, x, w: linear_tanh_backward(g, x, w), LINEAR
    )
    assert bent.ok
    assert not any("adjoint" in d.name for d in bent.directions)


def linear_tanh_backward(g, x, w):
    dz = g * (1 - np.tanh(x @ w.T) ** 2)
    return dz @ w, dz.T @ x


def test_a_gradient_made_by_differences_is_right_but_coarse():
    def by_differences(g, x):
        h = 1e-5
        return g * (np.exp(x + h) - np.exp(x - h)) / (2 * h)

    report = check_backward(np.exp, by_differences, [normal(3, 4)])
    assert report.ok
    assert any("a gradient by differences is as coarse" in note for note in report.notes)
    assert check_backward(np.exp, lambda g, x: g * np.exp(x), [normal(3, 4)]).notes == []


def test_a_forward_that_raises_beside_its_domain_is_no_alarm():
    def root(x):
        if (x < 0).any():
            raise ValueError("negative")
        return x**1.5

    assert check_backward(root, lambda g, x: g * 1.5 * x**0.5, [np.array([1e-7, 1.0, 2.0])])


SIDE_EFFECTS = {
    "g is ignored": (lambda g, x: 2 * x, "GB001", "dx is the same when g is doubled"),
    "g is changed": (lambda g, x: np.multiply(g, 2 * x, out=g), "GB009", "changed g in place"),
    "x is changed": (
        lambda g, x: g * np.multiply(x, 2, out=x), "GB009", "backward changed x in place",
    ),
    "float32": (lambda g, x: np.float32(2 * g * x), "GB013", "dx is float32 and its input float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", SIDE_EFFECTS)
def test_side_effects_are_mistakes(name):
    backward, code, text = SIDE_EFFECTS[name]
    report = check_backward(lambda x: x * x, backward, [normal(3, 4)])
    assert not report.ok
    assert codes(report)[0] == code
    assert text in report.diagnosis[0].evidence


def test_a_buffer_used_twice_is_a_mistake():
    buffer = np.empty((3, 4))
    report = check_backward(
        lambda x: x * x, lambda g, x: np.multiply(g, 2 * x, out=buffer), [normal(3, 4)]
    )
    assert codes(report) == ["GB008"]
    assert "dx changed after it was returned" in report.diagnosis[0].evidence


def test_gradients_that_pile_up_are_stale():
    total = np.zeros((3, 4))

    def backward(g, x):
        total[...] += 2 * g * x
        return total.copy()

    report = check_backward(lambda x: x * x, backward, [normal(3, 4)])
    assert codes(report)[0] == "GB007"
    assert "each further call adds the same to dx" in report.diagnosis[0].evidence


def test_a_forward_with_random_numbers_cannot_be_checked():
    rng = np.random.default_rng()
    report = check_backward(lambda x: x * rng.random(x.shape), lambda g, x: g, [normal(3, 4)])
    assert codes(report) == ["GB012"]
    assert report.inputs == []


def test_memory_order_is_no_part_of_g():
    report = check_backward(
        lambda x: x * 1.0, lambda g, x: g.ravel("K").reshape(g.shape), [normal(3, 4)]
    )
    assert "dx is different when g lies otherwise in memory" in report.summary()


def test_a_gradient_that_looks_at_gs_sign_is_found():
    report = check_backward(lambda x: x * 1.0, lambda g, x: g * (g > 0) * 2, [normal(50)])
    assert any("dx is not additive in g" in c.text for c in report.checks)


BROKEN = {
    "raises": (lambda g, x: g[7], "backward raised IndexError: index 7 is out of bounds"),
    "a string": (lambda g, x: "dx", "backward returned a str; it must return a tuple of 1"),
    "too many": (lambda g, x: (g, g), "backward returned 2 gradients; forward takes 1 inputs"),
    "objects": (lambda g, x: np.array([None] * 12), "backward returned an object array for x"),
    "complex": (lambda g, x: g * 1j, "backward returned a complex128 array for x"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_gradient_is_a_finding(name):
    backward, text = BROKEN[name]
    report = check_backward(lambda x: x * 2.0, backward, [normal(3, 4)])
    assert not report.ok
    assert text in str(report).replace("\n  ", " ")


def test_a_forward_that_fails_is_a_finding():
    report = check_backward(lambda x: x @ x, lambda g, x: g, [normal(3, 4)])
    assert "forward raised ValueError: matmul" in report.summary()
    assert re.search(r"\(line \d+, in <lambda>\)", report.summary())
    report = check_backward(lambda x: {"y": x}, lambda g, x: g, [normal(3, 4)])
    assert "forward returned a dict; it must return an array of floats" in report.summary()
    report = check_backward(lambda x: x.astype(int), lambda g, x: g, [normal(3, 4)])
    assert codes(report) == ["GB011"]


def test_none_for_an_input_that_matters_is_severed():
    report = check_backward(linear, lambda g, x, w: (g @ w, None), LINEAR)
    assert report.inputs[1].problem == "backward returned None for it"
    assert codes(report)[0] == "GB003"
    assert check_backward(linear, lambda g, x, w: (g @ w, None), LINEAR, wrt=0)


# ---- diagnosis by rules alone: operations that nobody knows ------------------------------------


def odd(x, w):
    """Nothing from the library: a product, twisted."""
    return np.sin(x @ w.T) + 0.1 * (x @ w.T) ** 2


def odd_backward(g, x, w):
    z = x @ w.T
    dz = g * (np.cos(z) + 0.2 * z)
    return dz @ w, dz.T @ x


def with_dw(change):
    def backward(g, x, w):
        dx, dw = odd_backward(g, x, w)
        return dx, change(dw, g, x, w)

    return backward


ODD = [normal(5, 3), normal(3, 3)]
RULES = {
    "sign": (lambda dw, g, x, w: -dw, "GB002", "dw is minus what it should be"),
    "mean": (lambda dw, g, x, w: dw / 5, "GB018", "dw is exactly 1/5 of what it should be, in "
             "every entry: 5 is the batch size (axis 0 of x)"),
    "twice": (lambda dw, g, x, w: 2 * dw, "GB005", "dw is exactly 2 times what it should be"),
    "transposed": (lambda dw, g, x, w: dw.T, "GB017", "with its axes exchanged"),
    "rolled": (lambda dw, g, x, w: np.roll(dw, 1, 0), "GB051", "rolled by 1 along axis 0"),
    "one sum": (lambda dw, g, x, w: np.full_like(dw, dw.sum()), "GB020",
                "all 9 entries of dw are the sum"),
    "decay": (lambda dw, g, x, w: dw + 0.01 * w, "GB015", "dw is off by 0.01 times w itself"),
    "float32": (lambda dw, g, x, w: np.float32(dw).astype(float), "GB013", "one of float32"),
    "zero": (lambda dw, g, x, w: 0 * dw, "GB003", "dw is 0 everywhere"),
    "broadcast": (lambda dw, g, x, w: np.stack([dw, 0 * dw]), "GB076",
                  "has shape (2, 3, 3) instead of (3, 3); summed over"),
    "flat": (lambda dw, g, x, w: dw.ravel(), "GB081", "right and in the right order"),
    "first sample": (
        lambda dw, g, x, w: odd_backward(g[:1], x[:1], w)[1], "GB019", "depends on g of one sample",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_a_mistake_in_an_unknown_operation_is_named(name):
    change, code, text = RULES[name]
    report = check_backward(odd, with_dw(change), ODD)
    assert [r.ok for r in report.inputs] == [True, False]
    assert codes(report)[0] == code, str(report)
    assert text in report.diagnosis[0].evidence


def test_an_unknown_mistake_is_not_named_but_described():
    report = check_backward(odd, with_dw(lambda dw, g, x, w: dw * (1 + 0.1 * np.abs(w))), ODD)
    assert report.diagnosis == []
    assert any("cosine" in clue for clue in report.clues)
    assert "The mistake is not recognised; what was seen:" in str(report)


def test_two_mistakes_are_told_apart():
    report = check_backward(odd, lambda g, x, w: [-odd_backward(g, x, w)[0],
                                                  odd_backward(g, x, w)[1] / 5], ODD)  # fmt: skip
    assert sorted(codes(report)[:2]) == ["GB002", "GB018"]
    assert {d.about for d in report.diagnosis[:2]} == {("x",), ("w",)}


def test_a_known_mistake_times_a_factor_is_told_apart():
    op = bugs.OPERATIONS["conv2d"]
    mutant = next(m for m in op.mutants if m.code == "GB045" and "d" in m.name)
    inputs, params = (mutant.sample or op.sample)(np.random.default_rng(0))

    def backward(g, *a):
        return tuple(3 * d for d in mutant.backward(g, *a, **params))

    report = check_backward(
        lambda *a: op.forward(*a, **params), backward, inputs, op="conv2d", params=params
    )
    named = {d.code: d for d in report.diagnosis}
    assert "GB045" in named
    assert "3 times what this mistake gives" in named["GB045"].evidence


# ---- with the operation named, and without -----------------------------------------------------


MUTANTS = [(op, m) for op in bugs.OPERATIONS.values() for m in op.mutants]


@pytest.mark.parametrize(("op", "mutant"), MUTANTS[::5], ids=lambda x: x.name)
def test_mutants_are_named(op, mutant):
    """A fifth of them; tests/programs/diagnosis_rates.py measures all, on many shapes."""
    inputs, params = (mutant.sample or op.sample)(np.random.default_rng(11))
    forward = mutant.forward or op.forward
    report = check_backward(
        lambda *a: forward(*a, **params), lambda g, *a: mutant.backward(g, *a, **params), inputs,
        op=op.name, params=params,
    )  # fmt: skip
    assert not report.ok
    assert mutant.code in codes(report)[:2]


def test_an_operation_is_recognised_by_its_outputs():
    """conv2d with stride, padding and groups that nobody told; the weight's gradient is halved."""
    op = bugs.OPERATIONS["conv2d"]
    inputs = [normal(2, 4, 6, 5), normal(6, 2, 3, 2), normal(6)]
    how = {"stride": (2, 1), "padding": (1, 0), "groups": 2}
    mutant = next(m for m in op.mutants if m.code == "GB053")
    report = check_backward(
        lambda *a: op.forward(*a, **how), lambda g, *a: mutant.backward(g, *a, **how), inputs
    )
    assert codes(report)[0] == "GB053"
    assert "conv2d" in report.diagnosis[0].evidence


def test_a_forward_that_is_another_operation_is_said():
    report = check_backward(
        lambda x: 1 / (1 + np.exp(x)), lambda g, x: -g * np.exp(x) / (1 + np.exp(x)) ** 2,
        [normal(3, 4)], op="sigmoid",
    )  # fmt: skip
    assert all(r.ok for r in report.inputs)
    assert not report.ok
    assert codes(report) == ["GB014"]
    assert re.search(r"forward does not compute sigmoid: at \(\d, \d\) it gives", str(report))


# ---- how it is asked ----------------------------------------------------------------------------


def test_ones_as_upstream_see_less_and_say_so():
    def backward(g, x):
        return np.zeros_like(x)

    assert not check_backward(softmax, backward, [normal(3, 4)])
    report = check_backward(softmax, backward, [normal(3, 4)], upstream="ones")
    assert report.ok
    assert any("upstream='ones' cannot see" in note for note in report.notes)


def test_an_upstream_gradient_can_be_given():
    g = normal(6, 4)
    seen = []
    check_backward(linear, lambda k, x, w: (seen.append(k.copy()), k @ w, k.T @ x)[1:], LINEAR,
                   upstream=g)  # fmt: skip
    np.testing.assert_array_equal(seen[0], g)


def test_wrong_calls_raise():
    def call(**how):
        return check_backward(linear, lambda g, x, w: (g @ w, g.T @ x), LINEAR, **how)

    with pytest.raises(ArgumentError, match="op='conv' is not known; use one of linear, "):
        call(op="conv")
    with pytest.raises(ArgumentError, match="wrt=5: there are 2 inputs"):
        call(wrt=5)
    with pytest.raises(ArgumentError, match=r"upstream has shape \[\(2,\)\], but forward returns"):
        call(upstream=np.ones(2))
    with pytest.raises(ArgumentError, match="upstream='twos': give None, 'ones' or an array"):
        call(upstream="twos")
    with pytest.raises(ArgumentError, match=r"no input is of floating type \(int64\)"):
        check_backward(lambda x: x, lambda g, x: g, [np.arange(3)])


def test_the_same_seed_gives_the_same_report():
    def backward(g, x, w):
        return g @ w, g.T @ x * 1.1

    one, other, third = (check_backward(linear, backward, LINEAR, seed=s) for s in (1, 1, 2))
    assert str(one) == str(other) != str(third)


def test_inputs_are_not_changed():
    x, w = (a.copy() for a in LINEAR)
    check_backward(linear, lambda g, x, w: (g @ w, np.multiply(w, 0, out=w)), [x, w])
    np.testing.assert_array_equal(x, LINEAR[0])
    np.testing.assert_array_equal(w, LINEAR[1])


def test_at_most_five_forwards_an_entry():
    calls = []

    def forward(x):
        calls.append(1)
        time.sleep(1e-3)  # so that what a fixed cost of 50 ms allows is 50 calls
        return np.tanh(x) * x.sum()

    def backward(g, x):
        return g * (1 - np.tanh(x) ** 2) * x.sum() + (g * np.tanh(x)).sum()

    assert check_backward(forward, backward, [normal(10, 20)])
    assert len(calls) <= 5 * 200 + 50


def test_large_arrays_are_sampled_and_all_is_seen_along_directions():
    x = normal(40, 60)
    report = check_backward(lambda x: np.sin(x).sum(0), lambda g, x: g * np.cos(x), [x])
    assert report.ok
    assert report.inputs[0].sampled
    assert "1000 of 2400 sampled" in str(report)

    def backward(g, x):  # wrong in a few places only, which a sample may miss
        dx = g * np.cos(x)
        dx[7, :5] = 3
        return dx

    assert not check_backward(lambda x: np.sin(x).sum(0), backward, [x])


# ---- the report ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wrong():
    op = bugs.OPERATIONS["conv2d"]
    inputs = [normal(2, 3, 5, 4), normal(4, 3, 2, 3), normal(4)]

    def backward(g, x, w, b):
        dx, dw, db = op.backward(g, x, w, b)
        dx[:, :, -1] = 0
        return dx, dw / 2, db

    return check_backward(op.forward, backward, inputs, op="conv2d")


def test_the_text_fits_a_terminal(wrong):
    text = str(wrong)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    for part in ("gradient check: WRONG", "dweight", "GB018  mean over the batch added  (99%)",
                 "To do: ", "analytic", "numeric by step h", "where ('.' right"):  # fmt: skip
        assert part in text


def test_the_map_shows_where(wrong):
    lines = str(wrong).splitlines()
    start = next(i for i, line in enumerate(lines) if "[0, 0, :5, :4]" in line)
    drawn = [line.strip() for line in lines[start + 1 : start + 6]]
    assert drawn[:4] == ["...."] * 4
    assert re.fullmatch(r"[-+*#@]{4}", drawn[4])


def test_the_report_as_json(wrong):
    read = json.loads(wrong.to_json())
    assert read["ok"] is False
    assert [r["name"] for r in read["inputs"]] == ["input", "weight", "bias"]
    assert read["inputs"][1]["wrong"] == 72
    assert read["inputs"][1]["share"] == 1.0
    assert read["diagnosis"][0]["code"] == "GB018"
    assert read["inputs"][0]["worst"][0]["index"][2] == 4


def test_json_has_no_nan():
    report = check_backward(lambda x: x * 2, lambda g, x: g * np.nan, [normal(3)])
    assert json.loads(report.to_json())["inputs"][0]["worst"][0]["analytic"] == "nan"


def test_the_report_in_a_notebook(wrong):
    page = wrong._repr_html_()
    assert "<b>GB018 mean over the batch added</b>" in page
    assert page.count("<details>") == 2 == page.count("</pre>")
    hostile = check_backward(
        lambda x: x * 2, lambda g, x: (_ for _ in ()).throw(ValueError("<script>")), [normal(3)]
    )
    assert "&lt;script&gt;" in hostile._repr_html_()


def test_the_plot_has_the_numbers(wrong):
    fig = wrong.plot()
    assert fig.get_suptitle().startswith("dinput (2, 3, 5, 4): wrong in 24 of 120 entries")
    first = [axis for axis in fig.axes if axis.images][:3]
    assert [a.get_title() for a in first] == ["analytic [0, 0]", "numeric", "analytic - numeric"]
    analytic, numeric, off = (np.asarray(a.images[0].get_array()) for a in first)
    np.testing.assert_allclose(off, analytic - numeric)
    np.testing.assert_array_equal(analytic, wrong.inputs[0].analytic[0, 0])
    assert wrong.plot("weight").get_suptitle().startswith("dweight")
    with pytest.raises(ArgumentError, match="nothing to draw for dz; inputs: input, weight, bias"):
        wrong.plot("dz")


def test_a_right_report_is_short():
    report = check_backward(linear, lambda g, x, w: (g @ w, g.T @ x), LINEAR)
    assert str(report).splitlines()[0] == "gradient check: right"
    assert len(str(report).splitlines()) == 3
    assert repr(report) == "<Report: all right>"


def test_assert_gradients():
    assert_gradients(linear, lambda g, x, w: (g @ w, g.T @ x), LINEAR)
    with pytest.raises(AssertionError, match=r"the gradient is wrong\ngradient check: WRONG"):
        assert_gradients(linear, lambda g, x, w: (g @ w, g.T @ x / 6), LINEAR)


# ---- the command --------------------------------------------------------------------------------

HOMEWORK = """
import numpy as np

def linear(input, weight, bias):
    return input @ weight.T + bias

def linear_backward(g, input, weight, bias):
    return g @ weight, g.T @ input / len(input), g.sum(0)

def square_forward(x):
    return x * x

def square_backward(g, x):
    return 2 * g * x

def square_inputs(rng):
    return [rng.standard_normal((2, 3))]

def alone(x):
    return x

class Scale:
    def __init__(self):
        self.c = np.array([1.0, 2.0, 3.0])
    def forward(self, x):
        self.x = x
        return x * self.c
    def backward(self, g):
        self.dc = (g * self.x).sum()
        return g * self.c

def Scale_inputs(rng):
    return [rng.standard_normal((4, 3))]

class Cube:
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * g * x * x

def Cube_inputs(rng):
    return [rng.standard_normal((4, 3))]
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    from minicnn import cli

    (tmp_path / "homework.py").write_text(HOMEWORK)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["minicnn", "gradcheck", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return left.value.code, out, err

    return run


def test_the_command_checks_functions_and_classes(command):
    code, out, _ = command("homework.py:linear")  # inputs from the known operation
    assert code == 1
    assert "GB018" in out
    assert "dweight" in out
    assert command("homework.py:square_forward")[0] == 0
    assert command("homework.py:Cube")[0] == 0
    code, out, _ = command("homework.py:Scale")
    assert code == 1
    assert "it has shape (), and its input (3,)" in out
    code, out, _ = command("homework.py:linear", "--json")
    assert json.loads(out)["diagnosis"][0]["code"] == "GB018"


def test_the_command_checks_the_engines_own(command):
    code, out, _ = command("--op", "max_pool2d")
    assert code == 0
    assert out.startswith("MaxPool2d: 12 samples, all right\n")
    assert "entries on kinks" in out


def test_the_commands_errors_are_one_kind_line(command, tmp_path):
    (tmp_path / "broken.py").write_text("import numpy\ndef f(x:\n    return x\n")
    (tmp_path / "failing.py").write_text("x = 1\ny = x / 0\n")
    for arguments, text, expected in (
        (["gone.py:f"], "gone.py is not there", 1),
        (["homework.py"], "'homework.py' is not FILE.py:NAME", 2),
        (["homework.py:lineer"], "homework.py has no function or class 'lineer'; it has linear", 2),
        (["homework.py:alone"], "which inputs? define alone_inputs(rng)", 2),
        (["broken.py:f"], "broken.py, line 2: '(' was never closed", 1),
        (["failing.py:f"], "failing.py, line 2: ZeroDivisionError: division by zero", 1),
        (["--op", "conv"], "--op conv is none of the engine's ops: Add", 2),
        ([], "give FILE.py:NAME, or --op", 2),
    ):
        code, _, err = command(*arguments)
        assert text in err
        assert err.count("\n") == 1
        assert code == expected
