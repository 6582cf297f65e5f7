"""Checks twice_forward and twice_backward on fresh random arrays."""

from minicnn.exercises.checking import Formula, compare_call, gradients, sizes

# What is right, forward and backward; an operation that minicnn has is Reference(kernel).
RIGHT = Formula(lambda x: 2 * x + 1, lambda g, x: 2 * g)


def check(learner, rng):
    """Yields what is wrong; the first ends the check: see minicnn.exercises.checking."""
    (n,) = sizes(rng, 1)
    x = rng.standard_normal(n)  # (N,)
    yield from compare_call(learner, "twice_forward(x)", [x], RIGHT.forward(x), axes="(N,)")
    yield from gradients(learner, "twice_backward", RIGHT, [x], rng)
