"""Checks conv2d_forward and conv2d_backward against the reference kernels."""

import numpy as np

from minicnn.exercises.checking import Reference, Wrong, compare, gradients, same, sizes, unpack
from minicnn.kernels import reference
from minicnn.shapes import window


def check(learner, rng):
    """C = O and square windows first; then overlap, padding and remainder; dilation and groups."""
    n, c = sizes(rng, 2, 2, 3)
    one, two = sizes(rng, 2, 1, 2)
    plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    cases = [
        ((1, 2, 5, 5), (2, 2, 2, 2), plain | {"stride": (2, 2)}),
        ((n, c, 4, 3), (4, c, 3, 2), plain),
        ((2, 2, 5, 3), (3, 2, 3, 2), plain | {"stride": (2, 1), "padding": (1, 1)}),
        ((2, 1, 3, 5), (3, 1, 2, 3), plain | {"stride": (1, 2), "padding": (one, two)}),
        ((1, 2, 5, 6), (3, 2, 2, 3), plain | {"stride": (one, two), "dilation": (2, 2)}),
        ((1, 4, 3, 4), (6, 2, 2, 2), plain | {"dilation": (one, two), "groups": 2}),
    ]
    drawn = [([rng.standard_normal(s) for s in (shape, weights, weights[:1])], how)
             for shape, weights, how in cases]  # fmt: skip
    for inputs, how in drawn:
        yield from _forward(learner, inputs, how)
        if not _right(learner, inputs, how, rng):
            yield from _assigned(learner, inputs, how, rng)
            yield from _backward(learner, inputs, how, rng)
    yield from _backward(
        learner, *drawn[0], rng
    )  # once, for what is wrong although the values are not


def _reference(x, weight, bias, stride, padding, dilation, groups):
    at = window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return Reference("conv2d", at, groups)


# ---- backward ----------------------------------------------------------------------------------


def _right(learner, inputs, how, rng):
    """Whether the gradients are right: quicker than the check that says what is wrong."""
    right = _reference(*inputs, **how)
    g = rng.standard_normal(right(*inputs).shape)
    returned = learner.conv2d_backward(g, *inputs, **how)
    returned = unpack("conv2d_backward", returned, ("dx", "dweight", "dbias"))
    return all(map(same, returned, right.gradients(g, *inputs), [1e-11] * 3))


def _assigned(learner, inputs, how, rng):
    """A finding where dx has what the last (u, v) left, which depends on how one loops."""
    right = _reference(*inputs, **how)
    y, saved = right.run(*inputs)
    _, weight, x_shape, at = saved.state
    g, (ph, pw), (h, w) = rng.standard_normal(y.shape), at.padding, x_shape[2:]
    dx = learner.conv2d_backward(g, *inputs, **how)[0]
    rows = weight.reshape(how["groups"], len(weight) // how["groups"], -1)
    up = g.reshape(len(g), how["groups"], rows.shape[1], -1)
    columns = (rows.swapaxes(1, 2) @ up).reshape(*x_shape[:2], -1, *at.out)
    padded = np.zeros((*x_shape[:2], h + 2 * ph, w + 2 * pw))
    for k, tap in enumerate(reference.taps(padded, at)):
        tap[...] = columns[:, :, k]
    wrong = Wrong("GB044", "conv2d_backward: col2im assigns instead of adds",
                  padded[:, :, ph : ph + h, pw : pw + w],
                  "+= where several windows cover a pixel")  # fmt: skip
    findings = compare("dx", dx, right.gradients(g, *inputs)[0], wrong=[wrong], axes="(N, C, H, W)")
    return [finding for finding in findings if finding.code == wrong.code]


def _backward(learner, inputs, how, rng):
    right = _reference(*inputs, **how)
    return gradients(
        learner, "conv2d_backward", right, inputs, right.gradients, rng, op="conv2d", params=how
    )


# ---- forward -----------------------------------------------------------------------------------


def _forward(learner, inputs, how):
    x, weight, bias = inputs
    right = _reference(*inputs, **how)(*inputs)
    o, c, kh, kw = weight.shape

    def other(weight=weight, **changed):
        return _reference(x, weight, bias, **how | changed)(x, weight, bias)

    wrong = [
        Wrong("bias-missing", "the bias is not added", right - bias[:, None, None],
              "bias[o] is added everywhere in map o"),
        Wrong("bias-per-column", "the bias runs along the columns of the maps",
              lambda: right + bias - bias[:, None, None], "bias[:, None, None] is (O, 1, 1)"),
        Wrong("kernel-flipped", "the kernel is flipped", other(weight[:, :, ::-1, ::-1]),
              "weight[o,c,u,v] meets entry (u, v) of the window"),
        Wrong("kernel-swapped", "u and v are swapped",
              lambda: other(weight.swapaxes(2, 3).reshape(weight.shape)),
              "columns and rows of W in the same order (c, u, v)"),
        Wrong("channels-swapped", "O and C are swapped",
              lambda: other(weight.swapaxes(0, 1)), "axis 0 of weight has the filters"),
        Wrong("rows-channels-last", "the orders (c, u, v) and (u, v, c) are mixed",
              other(weight.reshape(o, kh, kw, c).transpose(0, 3, 1, 2)),
              "columns and rows of W in the same order (c, u, v)"),
        Wrong("rows-channels-last", "the orders (c, u, v) and (u, v, c) are mixed",
              other(weight.transpose(0, 2, 3, 1).reshape(weight.shape)),
              "columns and rows of W in the same order (c, u, v)"),
        *(Wrong("axes-mixed", "the product is reshaped before its axes are in order",
                (right - early).transpose(0, 2, 3, 1).reshape(right.shape) + early,
                "(N, O, L), then reshape; reshape moves nothing")
          for early in (0, bias[:, None, None])),
        Wrong("windows-by-columns", "windows are counted column by column",
              right.swapaxes(2, 3).reshape(right.shape), "l = i ow + j"),
        Wrong("group-0-only", "all groups have the weights of group 0",
              other(np.tile(weight[: o // how["groups"]], (how["groups"], 1, 1, 1))),
              "W is (groups, O/groups, K)"),
        *(Wrong(f"{name}-swapped", f"rows and columns of {name} are swapped",
                lambda name=name: other(**{name: how[name][::-1]}), "(rows, columns)")
          for name in ("stride", "padding", "dilation")),
        *(Wrong(f"{name}-ignored", f"{name} is ignored",
                lambda name=name, value=value: other(**{name: value}), "im2col")
          for name, value in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)))),
    ]  # fmt: skip
    returned = learner.conv2d_forward(*inputs, **how)
    options = ", ".join(f"{name}={value}" for name, value in how.items())
    return compare("conv2d_forward(x, weight, bias, ...)", returned, right, wrong=wrong,
                   axes="(N, O, oh, ow)", where=f"conv2d_forward, with {options}")  # fmt: skip
