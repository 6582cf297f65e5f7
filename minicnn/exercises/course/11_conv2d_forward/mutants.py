"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_library

SIZE = "(size + 2 * padding - kernel) // stride + 1"
TOTAL = "(window * weight[o]).sum()"
CORNER = "top, left = i * sh, j * sw"
PAD = "(ph, ph), (pw, pw)"

MUTANTS = [
    Mutant("one-missing", SIZE, "(size + 2 * padding - kernel) // stride",
           "the first window is not counted", "i counts from 0: the last i, plus 1"),
    Mutant("rounded-up", SIZE, "-(-(size + 2 * padding - kernel) // stride) + 1",
           "a window that does not fit is counted", "round down: //"),
    Mutant("not-rounded", SIZE, "(size + 2 * padding - kernel) / stride + 1",
           "a window that fits in part is counted in part", "round down: //"),
    Mutant("padding-missing", SIZE, "(size - kernel) // stride + 1",
           "the padding is not counted", "size + 2 padding"),
    Mutant("padding-once", SIZE, "(size + padding - kernel) // stride + 1",
           "the padding is counted on one side only", "2 padding: it has two sides"),
    Mutant("kernel-flipped", TOTAL, "(window * weight[o, :, ::-1, ::-1]).sum()",
           "a convolution as in mathematics, with the kernel turned around", "weight[o], as it is"),
    Mutant("kernel-transposed", TOTAL, "(window * weight[o].swapaxes(1, 2)).sum()",
           "rows and columns of the kernel are exchanged", "u goes with rows"),
    Mutant("channels-swapped", TOTAL, "(window * weight[:, o]).sum()",
           "kernels and channels are exchanged", "weight is (O, C, kh, kw)"),
    Mutant("bias-missing", "total + bias[o]", "total", "the bias is not added", "+ bias[o]"),
    Mutant("bias-in-the-sum", TOTAL, "(window * weight[o] + bias[o]).sum() - bias[o]",
           "the bias is added to every product", "+ bias[o], after the sum"),
    Mutant("one-channel", TOTAL, "(window * weight[o])[0].sum()", "only channel 0 is seen",
           "sum over all C channels"),
    Mutant("one-channel", TOTAL, "(window * weight[o])[-1].sum()", "only the last channel is seen",
           "sum over all C channels"),
    Mutant("one-image", "window = xp[n,", "window = xp[0,", "the same image for every n", "xp[n]"),
    Mutant("stride-missing", CORNER, "top, left = i, j",
           "neighbouring windows are one pixel apart",
           "the window starts at row i·sh and column j·sw"),
    Mutant("padding-missing", "= pair(stride), pair(padding)", "= pair(stride), (0, 0)",
           "no zeros around the image", "xp, ph and pw"),
    Mutant("padding-one-sided", PAD, "(0, 2 * ph), (0, 2 * pw)",
           "all zeros are after the image", "ph rows before, and ph rows after"),
    Mutant("error", CORNER, "top, left = i * sw, j * sh"),
    Mutant("error", PAD, "(pw, pw), (ph, ph)"),
    Mutant("error", PAD, "(0, 0), (0, 0)"),
    Mutant("GB011", "y = np.empty((samples, kernels, oh, ow))",
           "y = np.empty((samples, kernels, oh, ow), dtype=int)",
           "cut off to whole numbers", "an array of floats"),
    Mutant("value", TOTAL, "(window + weight[o]).sum()"),
    Mutant("shape", "    return y", "    return y[0]"),
    Mutant("type", "    return y", "    return"),
    Mutant("GB009", "    y = np.empty", "    weight /= 2\n    y = np.empty"),
    by_library("conv2d_forward(x, weight, bias, **how)",
               "F.conv2d(t(x), t(weight), t(bias), **how).numpy()"),
]  # fmt: skip
