"""Checks the gradients of reshape and of permuted axes, by the numbers' places and by name."""

import numpy as np

from minicnn.exercises.checking import Formula, gradients, sizes


def check(learner, rng):
    """Equal sizes first, where wrong permutations run too; then all different ones."""
    a, b, c, d = sizes(rng, 4, 2, 5)
    for old, new in (((b, b), (b, b)), ((a, a * b), (b * a, a)), ((a, b), (b, a)),
                     ((a, b, c), (c, -1)), ((a, b), (-1,))):  # fmt: skip
        right = Formula(lambda x, new=new: x.reshape(new), _reshaped)
        x, how = rng.standard_normal(old), {"shape": new}
        yield from gradients(learner, "reshape_backward", right, [x], rng, how)
    yield from _permute(learner, rng, a, b, c, d)


def _reshaped(g, x):
    return g.ravel()[np.arange(x.size).reshape(x.shape)]


def _permute(learner, rng, a, b, c, d):
    cycle = (1, 2, 0) if rng.random() < 0.5 else (2, 0, 1)
    cases = [((b, b, b), cycle), ((a, b, c), cycle), ((b, b), (1, 0)), ((a, b), (1, 0)),
             ((a, b, c, d), (0, 2, 3, 1)), ((a, b, c, d), (0, 3, 1, 2)),
             ((a, b, c), (-1, 0, -2)), ((a, b, c), (0, 1, 2))]  # fmt: skip
    for shape, dims in cases:

        def true(g, x, dims=dims):
            dx = np.empty(x.shape)
            np.transpose(dx, dims)[...] = g  # written through a view of dx
            return dx

        right = Formula(lambda x, dims=dims: np.transpose(x, dims), true)
        x, how = rng.standard_normal(shape), {"dims": dims}
        yield from gradients(learner, "permute_backward", right, [x], rng, how)
