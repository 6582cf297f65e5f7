"""Checks unbroadcast, then the backward passes of a sum and of a product, on many shapes."""

import numpy as np

from minicnn.exercises.checking import Formula, Wrong, compare_call, gradients, sizes


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
    expected = _true(g, shape)
    copies = g.size / max(expected.size, 1)
    lead = g.ndim - len(shape)
    missing = np.prod(big[:lead])  # copies because of axes that shape does not have
    wrong = [
        Wrong("GB076", "g is returned as it is", g, "sum over the axes that were stretched"),
        Wrong("GB077", "the mean in place of the sum", expected / copies, "sum, not mean"),
        Wrong("GB077", "the mean over missing axes", expected / missing, "sum, not mean"),
        Wrong("GB077", "the mean over axes of size 1", expected * missing / copies,
              "sum, not mean"),
        Wrong("GB078", "summed over the wrong axis", lambda: g.sum(axis=1).reshape(shape),
              "shapes are lined up at the right end: missing axes are on the left"),
        Wrong("GB078", "summed over the wrong axis", lambda: g.sum(axis=0).reshape(shape),
              "shapes are lined up at the right end: missing axes are on the left"),
        Wrong("one-copy-only", "one copy's gradient, not all of them",
              lambda: g[(0,) * lead].reshape(shape), "sum over all copies"),
        Wrong("size-1-lost", "an axis of size 1 is dropped", np.squeeze(expected),
              "keepdims=True for the axes of size 1 in shape"),
        Wrong("size-1-left", "axes of size 1 are not summed", g.sum(axis=tuple(range(lead))),
              "step 2: where shape has 1 and g has more"),
    ]  # fmt: skip
    return compare_call(
        learner, f"unbroadcast(g, {shape})", [g, shape], expected,
        wrong=wrong, where=f"unbroadcast, for g of shape {big}",
    )  # fmt: skip


# The catalogue names what is wrong.
RIGHT = {
    "add": Formula(lambda x, y: x + y, lambda g, x, y: (_true(g, x.shape), _true(g, y.shape))),
    "mul": Formula(
        lambda x, y: x * y, lambda g, x, y: (_true(g * y, x.shape), _true(g * x, y.shape))
    ),
}
