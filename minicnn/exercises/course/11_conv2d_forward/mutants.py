"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_library

SIZE = "(size + 2 * padding - kernel) // stride + 1"
TOTAL = "(window * weight[o]).sum()"
CORNER = "top, left = i * sh, j * sw"
PAD = "(ph, ph), (pw, pw)"

MUTANTS = [
    Mutant("one-missing", SIZE, "(size + 2 * padding - kernel) // stride"),
    Mutant("rounded-up", SIZE, "-(-(size + 2 * padding - kernel) // stride) + 1"),
    Mutant("not-rounded", SIZE, "(size + 2 * padding - kernel) / stride + 1"),
    Mutant("padding-missing", SIZE, "(size - kernel) // stride + 1"),
    Mutant("padding-once", SIZE, "(size + padding - kernel) // stride + 1"),
    Mutant("kernel-flipped", TOTAL, "(window * weight[o, :, ::-1, ::-1]).sum()"),
    Mutant("kernel-transposed", TOTAL, "(window * weight[o].swapaxes(1, 2)).sum()"),
    Mutant("channels-swapped", TOTAL, "(window * weight[:, o]).sum()"),
    Mutant("bias-missing", "total + bias[o]", "total"),
    Mutant("bias-in-the-sum", TOTAL, "(window * weight[o] + bias[o]).sum() - bias[o]"),
    Mutant("one-channel", TOTAL, "(window * weight[o])[0].sum()"),
    Mutant("one-channel", TOTAL, "(window * weight[o])[-1].sum()"),
    Mutant("one-image", "window = xp[n,", "window = xp[0,"),
    Mutant("stride-missing", CORNER, "top, left = i, j"),
    Mutant("padding-missing", "= pair(stride), pair(padding)", "= pair(stride), (0, 0)"),
    Mutant("padding-one-sided", PAD, "(0, 2 * ph), (0, 2 * pw)"),
    Mutant("error", CORNER, "top, left = i * sw, j * sh"),
    Mutant("error", PAD, "(pw, pw), (ph, ph)"),
    Mutant("error", PAD, "(0, 0), (0, 0)"),
    Mutant("GB011", "y = np.empty((samples, kernels, oh, ow))",
           "y = np.empty((samples, kernels, oh, ow), dtype=int)"),
    Mutant("value", TOTAL, "(window + weight[o]).sum()"),
    Mutant("shape", "    return y", "    return y[0]"),
    Mutant("type", "    return y", "    return"),
    Mutant("GB009", "    y = np.empty", "    weight /= 2\n    y = np.empty"),
    by_library("conv2d_forward(x, weight, bias, **how)",
               "F.conv2d(t(x), t(weight), t(bias), **how).numpy()"),
]  # fmt: skip
