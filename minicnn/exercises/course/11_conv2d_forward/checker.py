"""Checks the number of windows and the convolution, square first, then with unequal sizes."""

from minicnn.exercises.checking import Reference, compare_call, sizes
from minicnn.exercises.windows import output_size
from minicnn.shapes import window


def check(learner, rng):
    """Square; all sizes different; then stride and padding, as numbers and as pairs."""
    yield from output_size(learner, rng)
    n, c, o = sizes(rng, 3, 2, 4)
    k, long = sizes(rng, 2, 2, 3)
    cases: list = [
        ((n, c, 4, 4), (c, c, k, k), {}),
        ((n, c, 4, 5), (o, c, k, long), {}),
        ((n, c, 5, 6), (o, c, long, k), {"stride": 2}),
        ((n, c, 3, 5), (o, c, k, long), {"padding": 1}),
        ((n, c, 4, 6), (o, c, long, k), {"stride": (2, 3), "padding": (2, 1)}),
    ]
    for images, kernels, how in cases:
        x, weight = rng.standard_normal(images), rng.standard_normal(kernels)
        inputs = [x, weight, rng.uniform(0.5, 1.5, kernels[0])]
        at = window(
            "conv2d", images[2:], kernels[2:], how.get("stride", 1), how.get("padding", 0), 1
        )
        yield from compare_call(
            learner, "conv2d_forward(x, weight, bias)", inputs,
            Reference("conv2d", at, 1).forward(*inputs), how, axes="(N, O, OH, OW)",
            where=f"x {images}, weight {kernels}: the window of one output",
        )  # fmt: skip
