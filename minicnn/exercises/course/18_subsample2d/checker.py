"""Checks subsample2d_forward and subsample2d_backward against the reference kernels."""

from minicnn import shapes
from minicnn.exercises.checking import Reference, compare_call, gradients, sizes


def check(learner, rng):
    """LeNet's own case first, with C = oh = ow; then windows with a remainder, or overlapping."""
    n, c = sizes(rng, 2, 2, 3)
    a, b = sizes(rng, 2, 2, 3)
    for kernel_size, stride, out, more in (
        ((2, 2), (2, 2), (c, c), (0, 0)),  # side by side
        ((3, 2), (3, 2), (a, b), (2, 1)),  # with a remainder
        ((3, 4), (a - 1, b), (b, a), (0, 1)),  # overlapping
    ):
        how = {"kernel_size": kernel_size, "stride": stride}
        parts = zip(kernel_size, stride, out, more, strict=True)
        h, w = (k + s * (m - 1) + r for k, s, m, r in parts)
        x = rng.standard_normal((n, c, h, w))
        coefficient = rng.uniform(0.5, 1.5, c) * rng.choice([-1, 1], c)
        inputs = [x, coefficient, rng.standard_normal(c)]
        at = shapes.window("subsample2d", x.shape[2:], **how, padding=0, dilation=1)
        right = Reference("subsample2d", at)
        yield from compare_call(
            learner, "subsample2d_forward(x, coefficient, bias)", inputs, right.forward(*inputs),
            how, axes="(N, C, oh, ow)", where=f"subsample2d_forward, for x {x.shape}",
        )  # fmt: skip
        yield from gradients(learner, "subsample2d_backward", right, inputs, rng, how)
