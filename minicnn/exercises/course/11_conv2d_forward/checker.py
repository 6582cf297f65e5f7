"""Checks the number of windows and the convolution, square first, then with unequal sizes."""

import numpy as np

from minicnn.exercises.checking import Reference, Wrong, compare, sizes
from minicnn.shapes import window


def check(learner, rng):
    """Square; all sizes different; then stride and padding, as numbers and as pairs."""
    yield from _output_size(learner, rng)
    n, c, o = sizes(rng, 3, 2, 4)
    k, long = sizes(rng, 2, 2, 3)
    cases = [
        ((n, c, 4, 4), (c, c, k, k), {}),
        ((n, c, 4, 5), (o, c, k, long), {}),
        ((n, c, 5, 6), (o, c, long, k), {"stride": 2}),
        ((n, c, 3, 5), (o, c, k, long), {"padding": 1}),
        ((n, c, 4, 6), (o, c, long, k), {"stride": (2, 3), "padding": (2, 1)}),
    ]
    for images, kernels, how in cases:
        x, weight = rng.standard_normal(images), rng.standard_normal(kernels)
        yield from _forward(learner, x, weight, rng.uniform(0.5, 1.5, kernels[0]), how)


def _output_size(learner, rng):
    for _ in range(5):
        given, right, values = _distinct(rng)
        wrong = [
            Wrong(code, title, value, where)
            for (code, title, where), value in zip(SIZES, values, strict=True)
        ]
        call = f"output_size{given}"
        yield from compare(call, learner.output_size(*given), right, wrong=wrong, where=call)


def _distinct(rng):
    """(arguments, how many windows, what the mistakes give): no two of them the same."""
    while True:
        kernel, stride, padding = (int(v) for v in rng.integers([1, 2, 1], [6, 5, 5]))
        size = kernel + int(rng.integers(1, 12))
        room = size + 2 * padding - kernel
        right = room // stride + 1
        values = [right - 1, right + 1, room / stride + 1, (size - kernel) // stride + 1,
                  (room - padding) // stride + 1]  # fmt: skip
        if len({right, *values}) == 1 + len(values):
            return (size, kernel, stride, padding), right, values


SIZES = [
    ("one-missing", "the first window is not counted", "+ 1"),
    ("rounded-up", "a window that does not fit is counted", "round down: //"),
    ("not-rounded", "a window that fits in part is counted in part", "round down: //"),
    ("padding-missing", "the padding is not counted", "size + 2 padding"),
    ("padding-once", "the padding is counted on one side only", "2 padding: it has two sides"),
]


def conv2d(x, weight, bias, stride=1, padding=0):
    """By the reference."""
    at = window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, 1)
    return Reference("conv2d", at, 1)(x, weight, bias)


def _forward(learner, x, weight, bias, how):
    expected = conv2d(x, weight, bias, **how)
    given = "".join(f", {name}={value}" for name, value in how.items())
    returned = learner.conv2d_forward(x, weight, bias, **how)
    return compare(
        f"conv2d_forward(x, weight, bias{given})", returned, expected,
        wrong=_mistakes(x, weight, bias, how, expected), axes="(N, O, OH, OW)",
        where=f"x {x.shape}, weight {weight.shape}: the window of one output",
    )  # fmt: skip


def _mistakes(x, weight, bias, how, expected):
    """What known mistakes give; those that cannot run at these sizes give nothing."""
    (oh, ow), inputs = expected.shape[2:], weight.shape[1]
    ph, pw = 2 * np.broadcast_to(how.get("padding", 0), 2)
    one_sided = np.pad(x, ((0, 0), (0, 0), (0, ph), (0, pw)))
    stride = {"stride": how.get("stride", 1)}
    without = conv2d(x, weight, 0 * bias, **how)
    return [
        Wrong("kernel-flipped", "a convolution as in mathematics, with the kernel turned around",
              conv2d(x, weight[:, :, ::-1, ::-1], bias, **how), "weight[o], as it is"),
        Wrong("kernel-transposed", "rows and columns of the kernel are exchanged",
              lambda: conv2d(x, weight.swapaxes(2, 3), bias, **how), "u goes with rows"),
        Wrong("channels-swapped", "kernels and channels are exchanged",
              lambda: conv2d(x, weight.swapaxes(0, 1), bias, **how), "weight is (O, C, kh, kw)"),
        Wrong("bias-missing", "the bias is not added", without, "+ bias[o]"),
        Wrong("bias-in-the-sum", "the bias is added to every product",
              without + (bias * weight[0].size)[:, None, None], "+ bias[o], after the sum"),
        *(Wrong("one-channel", f"only channel {c} is seen",
                conv2d(x[:, [c]], weight[:, [c]], bias, **how), "sum over all C channels")
          for c in (0, inputs - 1)),
        Wrong("one-image", "the same image for every n",
              np.broadcast_to(expected[:1], expected.shape), "xp[n]"),
        Wrong("stride-missing", "neighbouring windows are one pixel apart",
              conv2d(x, weight, bias, padding=how.get("padding", 0))[:, :, :oh, :ow],
              "the window starts at row i·sh and column j·sw"),
        Wrong("padding-missing", "no zeros around the image",
              lambda: conv2d(x, weight, bias, **stride), "xp, ph and pw"),
        Wrong("padding-one-sided", "all zeros are after the image",
              conv2d(one_sided, weight, bias, **stride), "ph rows before, and ph rows after"),
        Wrong("GB011", "cut off to whole numbers", expected.astype(int), "an array of floats"),
    ]  # fmt: skip
