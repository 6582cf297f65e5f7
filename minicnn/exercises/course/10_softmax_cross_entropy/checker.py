"""Checks softmax, the cross-entropy at usual and at large logits, and the gradient."""

import numpy as np

from minicnn.exercises.checking import (
    Finding,
    Formula,
    Wrong,
    compare,
    compare_call,
    gradients,
    sizes,
)
from minicnn.kernels import reference


def check(learner, rng):
    """As many samples as classes first, where a wrong axis runs; then fewer, or more."""
    samples, classes = sizes(rng, 2, 3, 6)
    for n, c in ((classes, classes), (samples, classes)):
        x, target = rng.standard_normal((n, c)), rng.integers(0, c, n)
        target[1:3] = (target[0] + 1) % c, target[0]  # two labels, and one of them twice
        losses, log_p, _ = _right(x, target)
        yield from compare_call(learner, "softmax(x)", [x], np.exp(log_p), axes="(N, C)")
        call = "softmax_cross_entropy_forward(x, target)"
        yield from compare_call(learner, call, [x, target], losses.mean())
        yield from _large(learner, x, target)
        yield from _backward(learner, x, target, rng)


def _right(x, target):
    """(losses of the samples, log p, what backward needs), by the reference."""
    one_hot = np.eye(x.shape[1])[target]
    losses, saved = reference.softmax_cross_entropy(x, one_hot)
    return losses, saved.state[0], saved


def _large(learner, x, target):
    """Logits at which exp overflows, one row is far above another, or p becomes 0."""
    steps = x + 2000 * np.arange(len(x))[:, None]
    overflow = "overflow", "softmax overflows", "z = x − the largest logit of each row"
    for_all = (
        "one-shift-for-all", "the same number is subtracted from all rows",
        "the largest logit of each row; here each row is 2000 above the row before",
    )  # fmt: skip
    for (code, title, where), large in (
        (overflow, x + 1000),
        (for_all, steps),
        (overflow, 1e4 * x / abs(x).max()),
    ):
        shown = "[" + " ".join(f"{v:.0f}" for v in large[0]) + "]"
        p = learner.softmax(large)
        if not np.allclose(np.sum(p, axis=1), 1):  # nan and inf among them
            yield Finding(code, title, "rows that sum to 1", f"{p[0]} for logits {shown}", where)
        yield from compare(
            f"softmax(x) for x[0] = {shown}", p, np.exp(_right(large, target)[1]), axes="(N, C)",
            where="softmax",
        )  # fmt: skip
        yield from _large_loss(learner, large, target, shown)


def _large_loss(learner, x, target, shown):
    name, where = "softmax_cross_entropy_forward", "log p = z − log Σ exp(z), not log of p"
    returned = getattr(learner, name)(x, target)
    expected = _right(x, target)[0].mean()
    if np.isinf(returned):
        told = f"{expected:.6g} for logits like {shown}", f"{returned}"
        return [Finding("log-of-zero", "the logarithm of a p that is 0", *told, where)]
    # finite, right at usual logits and wrong here: log(p + 1e-12), or p clipped
    wrong = [Wrong("log-clipped", "p is kept away from 0 by a small number", returned, where)]
    return compare(f"{name} for x[0] = {shown}", returned, expected, wrong=wrong, where=where)


def _backward(learner, x, target, rng):
    name = "softmax_cross_entropy_backward"

    def true(g, x, target):
        each = np.full(len(x), g / len(x))
        saved = _right(x, target)[2]
        return reference.softmax_cross_entropy_backward(each, saved, (True, False))

    right = Formula(lambda x, target: _right(x, target)[0].mean(), true)
    return gradients(learner, name, right, [x, target], rng) or _large_backward(
        learner, name, x, target
    )


def _large_backward(learner, name, x, target):
    large = 1e4 * x / abs(x).max()
    dx = getattr(learner, name)(1.0, large, target)
    dx = dx[0] if isinstance(dx, tuple) else dx
    if not np.isfinite(dx).all():
        where = f"{name}: softmax without overflow, here as well"
        return [Finding("overflow", f"{name} overflows", "finite numbers", str(dx[0]), where)]
    expected = (np.exp(_right(large, target)[1]) - np.eye(x.shape[1])[target]) / len(x)
    return compare(f"{name} at large logits", dx, expected, axes="(N, C)", where=name)
