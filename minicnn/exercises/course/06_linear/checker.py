"""Checks linear_forward and linear_backward against the reference kernels."""

from minicnn.exercises.checking import Reference, Wrong, compare, gradients, sizes

RIGHT = Reference("linear")


def check(learner, rng):
    """Square weights first, where a transposed product runs too; then three different sizes."""
    n, i, o = sizes(rng, 3)
    for samples, features, outputs in ((n, i, i), (n, i, o)):
        x = rng.standard_normal((samples, features))  # (N, I)
        weight = rng.standard_normal((outputs, features))  # (O, I)
        bias = rng.standard_normal(outputs)  # (O,)
        yield from _forward(learner, x, weight, bias)
        yield from gradients(
            learner, "linear_backward", RIGHT, [x, weight, bias], RIGHT.gradients, rng, op="linear"
        )


def _forward(learner, x, weight, bias):
    y = learner.linear_forward(x, weight, bias)
    wrong = [
        Wrong("weight-not-transposed", "x weight instead of x weightᵀ",
              lambda: x @ weight + bias, "weight is (O, I): row o has the weights of output o"),
        Wrong("bias-missing", "the bias is not added", x @ weight.T, "+ bias, once per sample"),
        Wrong("bias-subtracted", "the bias is subtracted", x @ weight.T - bias, "the sign"),
        Wrong("bias-per-sample", "the bias is added along the wrong axis",
              lambda: x @ weight.T + bias[:, None], "bias[o] belongs to column o of y"),
    ]  # fmt: skip
    return compare(
        "linear_forward(x, weight, bias)", y, RIGHT(x, weight, bias),
        wrong=wrong, axes="(N, O)", where="linear_forward",
    )  # fmt: skip
