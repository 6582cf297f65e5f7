"""Checks conv2d_backward: square with stride and padding first, then with unequal sizes."""

import numpy as np

from minicnn.exercises.checking import Reference, Wrong, compare, gradients, same, sizes
from minicnn.shapes import window


def check(learner, rng):
    """The square case has all that can go wrong unseen; the others have no two sizes alike."""
    n, c = sizes(rng, 2, 2, 3)
    k, long = sizes(rng, 2, 2, 3)
    cases = [
        # a row and a column remain that no window covers: the stride does not fit
        ((2, 2, 4, 4), (2, 2, 3, 3), {"stride": 2, "padding": 2}),
        ((n, c, 4, 5), (4, c, k, long), {}),
        ((n, c, 5, 3), (4, c, long, k), {"stride": (2, 1), "padding": (0, 1)}),
        ((c, n, 3, 6), (1, n, k, long), {"stride": (1, 3), "padding": (2, 0)}),
    ]
    for images, kernels, how in cases:
        inputs = [rng.standard_normal(shape) for shape in (images, kernels, kernels[:1])]
        yield from _loops(learner, inputs, how, rng)
        yield from _gradients(learner, inputs, how, rng)


def _loops(learner, inputs, how, rng):
    """What goes wrong in loops only, and is not known of other ways to write a convolution."""
    right = _conv2d(*inputs, **how)
    g = rng.standard_normal(right(*inputs).shape)
    returned = learner.conv2d_backward(g, *inputs, **how)
    if not isinstance(returned, tuple) or len(returned) != 3:
        return
    true = right.gradients(g, *inputs)
    sh, sw = np.broadcast_to(how.get("stride", 1), 2)
    ph, pw = np.broadcast_to(how.get("padding", 0), 2)
    assigned = _by_loops(g, inputs, (sh, sw), (ph, pw), adding=False)
    unstrided = [_by_loops(g, inputs, stride, (ph, pw)) for stride in ((1, 1), (1, sw), (sh, 1))]
    for k, name in enumerate(("dx", "dweight")):
        wrong = [
            Wrong("GB044", f"{name} is assigned, not added up", assigned[k],
                  f"{name}: += in place of =; here the last window and kernel win"),
            *(Wrong("GB050", f"the stride is ignored for {name}", both[k],
                    "the window starts at row i·sh and column j·sw") for both in unstrided),
        ]  # fmt: skip
        if not same(returned[k], true[k]) and any(same(returned[k], w.value) for w in wrong):
            yield from compare(f"{name} of conv2d_backward", returned[k], true[k], wrong=wrong)


def _by_loops(g, inputs, stride, padding, adding=True):
    """(dx, dweight) of loops, with a stride that may be wrong, and = in place of +=."""
    x, weight, _ = inputs
    (sh, sw), (ph, pw), (kh, kw) = stride, padding, weight.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dxp, dweight = np.zeros_like(xp), np.zeros_like(weight)
    for n, o, i, j in np.ndindex(g.shape):
        h, w = i * sh, j * sw
        here = n, slice(None), slice(h, h + kh), slice(w, w + kw)
        dxp[here] = adding * dxp[here] + g[n, o, i, j] * weight[o]
        dweight[o] = adding * dweight[o] + g[n, o, i, j] * xp[here]
    return dxp[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]], dweight


def _gradients(learner, inputs, how, rng):
    right = _conv2d(*inputs, **how)
    return gradients(
        learner, "conv2d_backward", right, inputs, right.gradients, rng, op="conv2d", params=how
    )


def _conv2d(x, weight, bias, stride=1, padding=0):
    at = window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, 1)
    return Reference("conv2d", at, 1)
