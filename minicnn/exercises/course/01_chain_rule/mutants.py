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

ADDED = """    dx, dw = da + 2 * u + w, da + 2 * u + x
    db = da + 2 * u + 1"""
BOTH_SQUARES = "each of the two squares gives a factor 2"

MUTANTS = [
    Mutant("value", "u = w * x + b", "u = w * x - b"),
    Mutant("loss-not-squared", "(a - t) ** 2", "a - t", "the loss is a - t, not its square",
           "chain_forward"),
    Mutant("type", "return u, a, (a - t) ** 2", "return (a - t) ** 2"),
    Mutant("type", "return dx, dw, db, dt", "return dx, dw, db"),
    Mutant("link-left-out", "du = da * 2 * u", "du = da", "the square is left out of the chain",
           "2 u, the derivative of u^2, is a factor too"),
    Mutant("loss-left-out", "du = da * 2 * u", "du = 2 * u",
           "the last link is left out of the chain", "start with dL/da = 2 (a - t)"),
    Mutant("factors-added", "    db = du", ADDED, "derivatives along the chain are added",
           "along one path they are multiplied"),
    Mutant("wrong-point", "du = da * 2 * u", "du = da * 2 * x",
           "the derivative of u^2 is taken at x", "2 u, not 2 x: u is what is squared"),
    Mutant("factor-2", "du = da * 2 * u", "du = da * u", "a factor 2 is missing", BOTH_SQUARES),
    Mutant("factor-2", "da = 2 * (a - t)", "da = a - t", "a factor 2 is missing", BOTH_SQUARES),
    Mutant("factor-2", "da = 2 * (a - t)  # the last link\n    du = da * 2 * u",
           "da = a - t\n    du = da * u", "both factors 2 are missing", BOTH_SQUARES),
    Mutant("last-link-left-out", "dx = du * w", "dx = du", "dx stops at u",
           "u = w x + b: times the derivative of w x"),
    Mutant("GB079", "dx = du * w", "dx = du * x", "the product uses its own operand",
           "the derivative of w x by x is w"),
    Mutant("last-link-left-out", "dw = du * x", "dw = du", "dw stops at u",
           "u = w x + b: times the derivative of w x"),
    Mutant("GB079", "dw = du * x", "dw = du * w", "the product uses its own operand",
           "the derivative of w x by w is x"),
    Mutant("factor-2", "dt = -2 *", "dt = -1 *", "a factor 2 is missing", BOTH_SQUARES),
    Mutant("GB002", "dt = -2 *", "dt = 2 *", "dt has the wrong sign", "the minus signs"),
    Mutant("GB002", "da = 2 * (a - t)", "da = 2 * (t - a)", "the derivatives have the wrong sign",
           "the minus signs"),
    Mutant("differences", new=BY_DIFFERENCES),
    Mutant("differences", new=BY_COMPLEX_STEP),
    Mutant("library", "u = w * x + b", "import minicnn; u = w * x + minicnn.tensor(b).item()"),
]  # fmt: skip
