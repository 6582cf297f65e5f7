"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

MEAN = "sum(taps(padded, kernel_size, stride)) / (kh * kw)"
FORWARD = "    (kh, kw), (ph, pw) = kernel_size, padding"  # where forward begins
STRIDE = "(kh, kw), (sh, sw) = kernel_size, stride or kernel_size"
ADD = "tap += g / (kh * kw)  # a view: this changes padded"
ZEROS = "padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), g.dtype)"

MEANS_OF_WHAT_FITS = """
def avg_pool2d_forward(x, kernel_size, stride=None, padding=(0, 0)):
    (ph, pw), (kh, kw), (sh, sw) = padding, kernel_size, stride or kernel_size
    padded = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    h, w = padded.shape[2:]
    starts = [(i, j) for i in range(0, h - kh + sh, sh) for j in range(0, w - kw + sw, sw)]
    means = [padded[:, :, i : i + kh, j : j + kw].mean(axis=(2, 3)) for i, j in starts]
    return np.stack(means, axis=2).reshape(*x.shape[:2], 1 - (kh - h) // sh, -1)
"""

MUTANTS = [
    Mutant("GB058", MEAN, MEAN.removesuffix(" / (kh * kw)"),
           "the sum, not the mean", "/ (kh * kw)"),
    Mutant("GB059", MEAN, MEAN.replace("(kh * kw)", "kh"),
           "divided by one side of the window", "/ (kh * kw)"),
    Mutant("GB059", MEAN, MEAN.replace("(kh * kw)", "kw"),
           "divided by one side of the window", "/ (kh * kw)"),
    Mutant("GB060", MEAN, f"(lambda y: y / (y.shape[2] * y.shape[3]))({MEAN[:-12]})",
           "divided by the number of windows", "a window has kh * kw pixels"),
    Mutant("GB065", MEAN,
           f"{MEAN[:-12]} / sum(taps(np.pad(x * 0 + 1, [(0, 0), (0, 0), (ph, ph), (pw, pw)]), "
           "kernel_size, stride))",
           "divided by the pixels inside the image", "the zeros of the padding count: / (kh * kw)"),
    Mutant("maximum", MEAN, "np.max(list(taps(padded, kernel_size, stride)), axis=0)",
           "the maximum, not the mean", "the mean"),
    Mutant("one-pixel", MEAN, "next(taps(padded, kernel_size, stride))",
           "one pixel of each window", "the mean of all pixels of the window"),
    Mutant("default-stride", STRIDE, STRIDE.replace("or kernel_size", "or (1, 1)"),
           "stride 1 where no stride is given", "stride None means the kernel_size"),
    Mutant("stride-ignored", STRIDE,
           "(kh, kw), (sh, sw) = kernel_size, (1, 1) if stride else kernel_size",
           "the stride is ignored", "window (i, j) begins at row i sh, column j sw"),
    Mutant("stride-is-kernel", STRIDE, "(kh, kw), (sh, sw) = kernel_size, kernel_size",
           "the stride is ignored", "the kernel_size is only the default"),
    Mutant("stride-swapped", STRIDE, STRIDE.replace("(sh, sw)", "(sw, sh)")
           .replace("stride or kernel_size", "stride or kernel_size[::-1]"),
           "sh and sw are swapped", "(rows, columns)"),
    Mutant("kernel-swapped", FORWARD, "    stride = stride or kernel_size\n"
           f"    kernel_size = kernel_size[::-1]\n{FORWARD}",
           "kh and kw are swapped", "(rows, columns)"),
    Mutant("padding-swapped", FORWARD, f"    padding = padding[::-1]\n{FORWARD}",
           "ph and pw are swapped", "(rows, columns)"),
    Mutant("padding-ignored", FORWARD, f"    padding = (0, 0)\n{FORWARD}",
           "the padding is ignored", "zeros around the image first"),
    Mutant("rounded-up", MEAN,
           "sum(taps(np.pad(padded, [(0, 0), (0, 0), *((0, -(s - k) % t) for s, k, t in "
           "zip(padded.shape[2:], kernel_size, stride or kernel_size))]), kernel_size, stride)) / "
           "(kh * kw)", "windows that stick out are kept", "the remainder is left out: //"),
    Mutant("rounded-up", new=MEANS_OF_WHAT_FITS,
           title="windows that stick out are kept", where="the remainder is left out: //"),
    Mutant("value", MEAN, f"1 + {MEAN}"),
    Mutant("shape", MEAN, f"({MEAN})[0]"),
    Mutant("type", f"return {MEAN}", MEAN),
    Mutant("GB058", ADD, "tap += g"),
    Mutant("GB063", ADD, "tap[...] = g / (kh * kw)",
           "dx is overwritten where windows overlap",
           "+= instead of =: the shares of all windows that cover a pixel"),
    Mutant("GB061", ADD, "tap += g\n        break"),
    Mutant("GB002", ADD, "tap -= g / (kh * kw)"),
    Mutant("GB009", ZEROS, f"{ZEROS}\n    g /= 2"),
    by_library("avg_pool2d_forward(x, **how)", "F.avg_pool2d(t(x), **how).numpy()"),
    by_differences("avg_pool2d_backward", "avg_pool2d_forward", 1e-3),
    # here the padding always counts
    *from_catalogue("avg_pool2d", "avg_pool2d_backward",
                    skip=["divided by kh kw though padding does not count"]),
]  # fmt: skip
