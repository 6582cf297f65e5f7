"""Checks twice_forward and twice_backward on fresh random arrays."""

from minicnn.exercises.checking import Wrong, compare, gradients, sizes


def check(learner, rng):
    """Yields what is wrong; the first ends the check: see minicnn.exercises.checking."""
    (n,) = sizes(rng, 1)
    x = rng.standard_normal(n)  # (N,)
    wrong = [Wrong("one-missing", "the 1 is not added", 2 * x, "2 x + 1")]
    yield from compare(
        "twice_forward(x)", learner.twice_forward(x), forward(x), wrong=wrong, axes="(N,)",
        where="twice_forward",
    )  # fmt: skip
    yield from gradients(learner, "twice_backward", forward, [x], true, rng)


def forward(x):
    """What is right; of the operations that minicnn has take minicnn.kernels.reference."""
    return 2 * x + 1


def true(g, x):
    """The true gradient."""
    return 2 * g
