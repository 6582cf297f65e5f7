"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

BY_DIFFERENCES = """
def chain_backward(x, w, b, t):
    h, at = 1e-6, [x, w, b, t]
    def nudged(i, step):
        values = list(at)
        values[i] += step
        return chain_forward(*values)[2]
    return tuple((nudged(i, h) - nudged(i, -h)) / (2 * h) for i in range(4))
"""
BY_COMPLEX_STEP = """
def chain_backward(x, w, b, t):
    at = [x, w, b, t]
    return tuple(chain_forward(*(v + 1e-20j * (i == k) for k, v in enumerate(at)))[2].imag / 1e-20
                 for i in range(4))
"""

MUTANTS = [
    Mutant("value", "u = w * x + b", "u = w * x - b"),
    Mutant("loss-not-squared", "(a - t) ** 2", "a - t"),
    Mutant("type", "return u, a, (a - t) ** 2", "return (a - t) ** 2"),
    Mutant("type", "return dx, dw, db, dt", "return dx, dw, db"),
    Mutant("link-left-out", "du = da * 2 * u", "du = da"),
    Mutant("loss-left-out", "du = da * 2 * u", "du = 2 * u"),
    Mutant("factors-added", "    db = du", "    dx = da + 2 * u + w\n    db = du"),
    Mutant("wrong-point", "du = da * 2 * u", "du = da * 2 * x"),
    Mutant("factor-2", "du = da * 2 * u", "du = da * u"),
    Mutant("factor-2", "da = 2 * (a - t)", "da = a - t"),
    Mutant("last-link-left-out", "dw = du * x", "dw = du"),
    Mutant("GB079", "dw = du * x", "dw = du * w"),
    Mutant("GB002", "dt = -2 *", "dt = 2 *"),
    Mutant("GB002", "da = 2 * (a - t)", "da = 2 * (t - a)"),
    Mutant("differences", new=BY_DIFFERENCES),
    Mutant("differences", new=BY_COMPLEX_STEP),
    Mutant("library", "u = w * x + b", "import minicnn; u = w * x + minicnn.tensor(b).item()"),
]
