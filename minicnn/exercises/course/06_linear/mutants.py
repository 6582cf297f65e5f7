"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, from_catalogue

FORWARD = "x @ weight.T + bias"

BY_LIBRARY = """
import minicnn as mc
def linear_forward(x, weight, bias):
    return mc.nn.functional.linear(mc.tensor(x), mc.tensor(weight), mc.tensor(bias)).numpy()
"""

BY_DIFFERENCES = """import numpy as np
def linear_backward(g, x, weight, bias):
    def slope(a, i):
        b = a.copy()
        b[i] += 1.0
        inputs = [b if c is a else c for c in (x, weight, bias)]
        return (g * (linear_forward(*inputs) - linear_forward(x, weight, bias))).sum()
    return tuple(np.array([slope(a, i) for i in np.ndindex(a.shape)]).reshape(a.shape)
                 for a in (x, weight, bias))
"""

MUTANTS = [
    Mutant("weight-not-transposed", FORWARD, "x @ weight + bias"),
    Mutant("bias-missing", FORWARD, "x @ weight.T"),
    Mutant("bias-subtracted", FORWARD, "x @ weight.T - bias"),
    Mutant("type", FORWARD, "None"),
    Mutant("type", "return dx, dweight, dbias", "return dx, dweight"),
    Mutant("shape", FORWARD, "(x @ weight.T + bias).T"),
    Mutant("value", FORWARD, "2 * (x @ weight.T + bias)"),
    Mutant("GB009", "    dx = g @", "    x *= 2\n    dx = g @"),
    Mutant("library", new=BY_LIBRARY),
    Mutant("differences", new=BY_DIFFERENCES),
    Mutant("todo", "    return x", "    raise NotImplementedError\n    return x"),
    # float64 is right here, where the inputs are float64 too
    *from_catalogue("linear", "linear_backward", skip=["dW gathered in float64"]),
]  # fmt: skip
