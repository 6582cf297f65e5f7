"""Checks output_size on many numbers, and im2col against the reference kernel."""

from minicnn.exercises.checking import compare_call, sizes
from minicnn.exercises.windows import output_size
from minicnn.kernels import reference
from minicnn.shapes import window


def check(learner, rng):
    """A square case first, where swapped axes run too; then stride, padding and a remainder."""
    yield from output_size(learner, rng)
    n, c, k = sizes(rng, 3, 2, 4)
    h, w = sizes(rng, 2, 6, 9)
    kh, kw, sh, sw, ph, pw = (*sizes(rng, 2, 2, 3), *sizes(rng, 2, 1, 3), *sizes(rng, 2, 0, 2))
    cases = [
        ((n, c, k + 4, k + 4), (k, k), (1, 1), (0, 0)),  # 5 by 5 windows: unlike c and k
        ((n, c, h, h), (k, k), (2, 2), (1, 1)),
        ((n, c, h, w), (kh, kw), (1, 1), (0, 0)),
        ((n, c, h, w), (kh, kw), (sh, sw), (ph, pw)),
        ((1, 1, kh, kw), (kh, kw), (sh, sw), (0, 0)),  # a single window, a single channel
    ]
    for shape, kernel_size, stride, padding in cases:
        x, how = rng.standard_normal(shape), {"stride": stride, "padding": padding}
        at = window("im2col", shape[2:], kernel_size, stride, padding, (1, 1))
        yield from compare_call(
            learner, f"im2col(x, {kernel_size})", [x, kernel_size], reference.im2col(x, at), how,
            axes="(N, C*kh*kw, L)", where=f"im2col, for x of shape {shape}",
        )  # fmt: skip
