"""Checks unbroadcast, then the backward passes of a sum and of a product, on many shapes."""

import numpy as np

from minicnn.exercises.checking import Formula, compare_call, gradients, sizes


def check(learner, rng):
    """Square shapes first, where a sum over the wrong axis runs too."""
    a, b, c = sizes(rng, 3, 2, 5)
    shapes = [
        ((b, b), (b,)), ((b, b, b), (b, 1)), ((b, b), (b, 1)), ((a, b), (b,)), ((a, b), (a, 1)),
        ((a, b), (1, b)), ((a, b, c), (b, 1)), ((a, b), (1, 1)), ((a, b), ()),
        ((a, 1, c), (b, 1)), ((a, b), (a, b)), ((1, b), (1, b)), ((1, 1), (1,)),
    ]  # fmt: skip
    for first, second in shapes:
        if np.broadcast_shapes(first, second) == first:
            yield from _unbroadcast(learner, rng, first, second)
    for op, right in RIGHT.items():
        for first, second in (shapes[0], shapes[2], *shapes[5:10]):
            x, y = rng.uniform(0.5, 1.5, first), rng.uniform(0.5, 1.5, second)
            for pair in ([x, y], [y, x]) if first != second else ([x, y],):
                yield from gradients(learner, f"{op}_backward", right, pair, rng)


def _true(g, shape):
    """The sum over all entries of g that one entry of the array was copied to."""
    result = np.zeros(shape)
    places = np.broadcast_to(np.arange(result.size).reshape(shape), g.shape)
    np.add.at(result.reshape(-1), places.ravel(), g.ravel())
    return result


def _unbroadcast(learner, rng, big, shape):
    g = rng.standard_normal(big)
    return compare_call(
        learner, f"unbroadcast(g, {shape})", [g, shape], _true(g, shape),
        where=f"unbroadcast, for g of shape {big}",
    )  # fmt: skip


# The catalogue names what is wrong.
RIGHT = {
    "add": Formula(lambda x, y: x + y, lambda g, x, y: (_true(g, x.shape), _true(g, y.shape))),
    "mul": Formula(
        lambda x, y: x * y, lambda g, x, y: (_true(g * y, x.shape), _true(g * x, y.shape))
    ),
}
