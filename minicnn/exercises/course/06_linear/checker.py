"""Checks linear_forward and linear_backward against the reference kernels."""

from minicnn.exercises.checking import Reference, compare_call, gradients, sizes

RIGHT = Reference("linear")


def check(learner, rng):
    """Square weights first, where a transposed product runs too; then three different sizes."""
    n, i, o = sizes(rng, 3)
    for samples, features, outputs in ((n, i, i), (n, i, o)):
        x = rng.standard_normal((samples, features))  # (N, I)
        weight = rng.standard_normal((outputs, features))  # (O, I)
        bias = rng.standard_normal(outputs)  # (O,)
        inputs = [x, weight, bias]
        yield from compare_call(
            learner, "linear_forward(x, weight, bias)", inputs, RIGHT.forward(*inputs),
            axes="(N, O)",
        )  # fmt: skip
        yield from gradients(learner, "linear_backward", RIGHT, inputs, rng)
