"""Checks twice_forward and twice_backward on fresh random arrays."""

from minicnn.exercises.checking import Formula, Wrong, compare_call, gradients, sizes


def check(learner, rng):
    """Yields what is wrong; the first ends the check: see minicnn.exercises.checking."""
    (n,) = sizes(rng, 1)
    x = rng.standard_normal(n)  # (N,)
    wrong = [Wrong("one-missing", "the 1 is not added", 2 * x, "2 x + 1")]
    yield from compare_call(
        learner, "twice_forward(x)", [x], RIGHT.forward(x), wrong=wrong, axes="(N,)"
    )
    yield from gradients(learner, "twice_backward", RIGHT, [x], rng)


# What is right, forward and backward; of the operations that minicnn has take
# Reference(kernel) in its place.
RIGHT = Formula(lambda x: 2 * x + 1, lambda g, x: 2 * g)
