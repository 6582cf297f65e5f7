"""Checks the class Value on one operation after the other, then on random expressions."""

import cmath
import math

from minicnn.exercises.checking import Finding, Wrong, compare

STEP = 1e-30  # of the complex step, which is exact: nothing is subtracted


def check(learner, rng):
    """Each operation alone, so that a mistake is named; then what they are together."""
    a, b, c = (float(v) for v in rng.uniform(0.5, 1.5, 3) * rng.choice([-1, 1], 3))
    for test in (_sums, _products, _powers, _tanh, _chains, _reuse, _numbers):
        yield from test(learner, a, b, c)
    for _ in range(5):
        yield from _random_expression(learner, rng)


def run(learner, f, numbers, text, *, wrong=(), where="", derivative=True):
    """Findings for f's value and for the gradient of each of its arguments.

    `wrong` has, for each argument, what known mistakes give.
    """
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
            wrong=wrong[i] if i < len(wrong) else (), where=where,
            derivative=derivative,
        )  # fmt: skip


def tanh(v):
    """Of a Value, a number, or a complex number."""
    if hasattr(v, "tanh"):
        return v.tanh()
    return cmath.tanh(v) if isinstance(v, complex) else math.tanh(v)


def _sums(learner, a, b, c):
    return run(learner, lambda a, b: a + b, [a, b], "a + b", where="__add__, then backward")


def _products(learner, a, b, c):
    own = "the product uses its own operand"
    wrong = [
        [Wrong("GB079", own, a, "__mul__: ∂(a·b)/∂a is b")],
        [Wrong("GB079", own, b, "__mul__: ∂(a·b)/∂b is a")],
    ]
    return run(learner, lambda a, b: a * b, [a, b], "a * b", wrong=wrong, where="__mul__")


def _powers(learner, a, b, c):
    a = abs(a)
    for n in (3, 2.5, -1):
        wrong = [
            Wrong("power-not-lowered", "the exponent is not lowered by one", n * a**n,
                  "__pow__: n·a^(n−1)"),
            Wrong("factor-n", "the factor n is missing", a ** (n - 1), "__pow__: n·a^(n−1)"),
        ]  # fmt: skip
        yield from run(learner, lambda a, n=n: a**n, [a], f"a ** {n}", wrong=[wrong],
                       where="__pow__")  # fmt: skip


def _tanh(learner, a, b, c):
    y = math.tanh(a)
    wrong = [
        Wrong("GB024", "tanh: 1 − x² in place of 1 − y²", 1 - a * a, "tanh: y is the result"),
        Wrong("GB025", "tanh: applied twice", 1 - math.tanh(y) ** 2, "tanh: 1 − y², not tanh of y"),
        Wrong("GB026", "tanh: the derivative of the sigmoid", y * (1 - y), "tanh: 1 − y²"),
        Wrong("GB002", "tanh: the wrong sign", y * y - 1, "tanh: 1 − y²"),
    ]
    return run(learner, lambda a: tanh(a), [a], "a.tanh()", wrong=[wrong], where="tanh")


def _chains(learner, a, b, c):
    """(a b) c, where g is not 1 at the first product."""
    ignored = "backward does not multiply by g"
    wrong = [
        [Wrong("GB001", ignored, b, "backward: hand on g · local, not local"),
         Wrong("g-not-handed-on", "backward stops after the first operation", 0.0,
               "backward: call it for every parent")],
        [Wrong("GB001", ignored, a, "backward: hand on g · local, not local")],
    ]  # fmt: skip
    where = "backward"
    return run(learner, lambda a, b, c: (a * b) * c, [a, b, c], "(a * b) * c", wrong=wrong,
               where=where)  # fmt: skip


def _reuse(learner, a, b, c):
    """a a and a + a: two paths to one Value."""
    where = "backward: self.grad += g"
    wrong = [Wrong("GB004", "one path's gradient replaces the other's", a, where)]
    yield from run(learner, lambda a: a * a, [a], "a * a", wrong=[wrong], where=where)
    wrong = [Wrong("GB004", "one path's gradient replaces the other's", 1 - 2 / b, where)]
    yield from run(learner, lambda a, b: a + a * b + a, [a, b], "a + a * b + a", wrong=[wrong],
               where=where)  # fmt: skip


def _numbers(learner, a, b, c):
    return run(learner, lambda a: 2 * a + 1 - a * 3, [a], "2 * a + 1 - a * 3",
               where="as_value for plain numbers")  # fmt: skip


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
    return run(learner, f, numbers, "a random expression", where="backward", derivative=False)
