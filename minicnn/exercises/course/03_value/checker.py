"""Checks the class Value on one operation after the other, then on random expressions."""

import cmath
import math

from minicnn.exercises.checking import Finding, compare

STEP = 1e-30  # of the complex step, which is exact: nothing is subtracted


def check(learner, rng):
    """Each operation alone, so that a mistake is named; then what they are together."""
    a, b, c = (float(v) for v in rng.uniform(0.5, 1.5, 3) * rng.choice([-1, 1], 3))
    for f, numbers, text, where in (
        (lambda a, b: a + b, [a, b], "a + b", "__add__, then backward"),
        (lambda a, b: a * b, [a, b], "a * b", "__mul__"),
        (lambda a: a**3, [abs(a)], "a ** 3", "__pow__"),
        (lambda a: a**2.5, [abs(a)], "a ** 2.5", "__pow__"),
        (lambda a: a**-1, [abs(a)], "a ** -1", "__pow__"),
        (tanh, [a], "a.tanh()", "tanh"),
        # g is not 1 at the first product
        (lambda a, b, c: (a * b) * c, [a, b, c], "(a * b) * c", "backward"),
        # two paths, and three, to one Value
        (lambda a: a * a, [a], "a * a", "backward: self.grad += g"),
        (lambda a, b: a + a * b + a, [a, b], "a + a * b + a", "backward: self.grad += g"),
        (lambda a: 2 * a + 1 - a * 3, [a], "2 * a + 1 - a * 3", "as_value for plain numbers"),
    ):
        yield from run(learner, f, numbers, text, where)
    for _ in range(5):
        yield from _random_expression(learner, rng)


def run(learner, f, numbers, text, where, derivative=True):
    """Findings for f's value and for the gradient of each of its arguments."""
    values = [learner.Value(v) for v in numbers]
    with learner.watching():
        result = f(*values)
    if not isinstance(result, learner.Value):
        kind = type(result).__name__
        yield Finding("type", f"{text} is no Value", "a Value", kind, f"return Value(...): {where}")
    at = ", ".join(f"{name} = {v:.4g}" for name, v in zip("abcd", numbers, strict=False))
    yield from compare(f"the data of {text}, {at}", result.data, f(*numbers), where=where)
    with learner.watching():
        result.backward()
    for i, (name, value) in enumerate(zip("abcd", values, strict=False)):
        nudged = [v + STEP * 1j * (i == k) for k, v in enumerate(numbers)]
        yield from compare(
            f"{name}.grad of {text}, {at}", value.grad, f(*nudged).imag / STEP,
            wrong=learner.wrong(lambda planted, i=i: _gradients(planted, f, numbers)[i]),
            where=where, derivative=derivative,
        )  # fmt: skip


def _gradients(planted, f, numbers):
    values = [planted.Value(v) for v in numbers]
    f(*values).backward()
    return [value.grad for value in values]


def tanh(v):
    """Of a Value, a number, or a complex number."""
    if hasattr(v, "tanh"):
        return v.tanh()
    return cmath.tanh(v) if isinstance(v, complex) else math.tanh(v)


def _random_expression(learner, rng):
    """Seven random operations on four numbers, with reuse."""
    steps = [(str(rng.choice(["+", "*", "-", "t", "p"])), *rng.integers(0, 4, 3))
             for _ in range(7)]  # fmt: skip
    numbers = [float(v) for v in rng.uniform(0.3, 1.2, 4)]

    def f(*given):
        v = list(given)
        for kind, i, j, k in steps:
            if kind == "+":
                v[k] = v[i] + v[j]
            elif kind == "*":
                v[k] = v[i] * v[j]
            elif kind == "-":
                v[k] = v[i] - 0.5 * v[j]
            else:
                v[k] = tanh(v[i]) if kind == "t" else v[i] ** 2
        return v[0] + v[1] * v[2] + tanh(v[3])

    # digits may cancel in an expression this long: right to the last ones cannot be asked for
    return run(learner, f, numbers, "a random expression", "backward", derivative=False)
