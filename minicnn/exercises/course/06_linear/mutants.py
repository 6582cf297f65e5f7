"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

FORWARD = "x @ weight.T + bias"

MUTANTS = [
    Mutant("weight-not-transposed", FORWARD, "x @ weight + bias",
           "x weight instead of x weightᵀ", "weight is (O, I): row o has the weights of output o"),
    Mutant("bias-missing", FORWARD, "x @ weight.T", "the bias is not added",
           "+ bias, once per sample"),
    Mutant("bias-subtracted", FORWARD, "x @ weight.T - bias", "the bias is subtracted", "the sign"),
    Mutant("type", FORWARD, "None"),
    Mutant("type", "return dx, dweight, dbias", "return dx, dweight"),
    Mutant("shape", FORWARD, "(x @ weight.T + bias).T"),
    Mutant("value", FORWARD, "2 * (x @ weight.T + bias)"),
    Mutant("GB009", "    dx = g @", "    x *= 2\n    dx = g @"),
    by_library("linear_forward(x, weight, bias)", "F.linear(t(x), t(weight), t(bias)).numpy()"),
    by_differences("linear_backward", "linear_forward", 1.0),
    Mutant("todo", "    return x", "    raise NotImplementedError\n    return x"),
    # float64 is right here, where the inputs are float64 too
    *from_catalogue("linear", "linear_backward", skip=["dW gathered in float64"]),
]  # fmt: skip
