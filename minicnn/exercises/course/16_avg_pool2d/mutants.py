"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

MEAN = "sum(taps(padded, kernel_size, stride)) / (kh * kw)"
FORWARD = "    (kh, kw), (ph, pw) = kernel_size, padding"  # where forward begins
STRIDE = "(kh, kw), (sh, sw) = kernel_size, stride or kernel_size"
ADD = "tap += g / (kh * kw)  # a view: this changes padded"
ZEROS = "padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), g.dtype)"

MUTANTS = [
    Mutant("GB058", MEAN, MEAN.removesuffix(" / (kh * kw)")),
    Mutant("GB059", MEAN, MEAN.replace("(kh * kw)", "kh")),
    Mutant("GB059", MEAN, MEAN.replace("(kh * kw)", "kw")),
    Mutant("GB060", MEAN, f"(lambda y: y / (y.shape[2] * y.shape[3]))({MEAN[:-12]})"),
    Mutant("GB065", MEAN,
           f"{MEAN[:-12]} / sum(taps(np.pad(x * 0 + 1, [(0, 0), (0, 0), (ph, ph), (pw, pw)]), "
           "kernel_size, stride))"),
    Mutant("maximum", MEAN, "np.max(list(taps(padded, kernel_size, stride)), axis=0)"),
    Mutant("one-pixel", MEAN, "next(taps(padded, kernel_size, stride))"),
    Mutant("default-stride", STRIDE, STRIDE.replace("or kernel_size", "or (1, 1)")),
    Mutant("stride-ignored", STRIDE,
           "(kh, kw), (sh, sw) = kernel_size, (1, 1) if stride else kernel_size"),
    Mutant("stride-is-kernel", STRIDE, "(kh, kw), (sh, sw) = kernel_size, kernel_size"),
    Mutant("stride-swapped", STRIDE, STRIDE.replace("(sh, sw)", "(sw, sh)")
           .replace("stride or kernel_size", "stride or kernel_size[::-1]")),
    Mutant("kernel-swapped", FORWARD, "    stride = stride or kernel_size\n"
           f"    kernel_size = kernel_size[::-1]\n{FORWARD}"),
    Mutant("padding-swapped", FORWARD, f"    padding = padding[::-1]\n{FORWARD}"),
    Mutant("padding-ignored", FORWARD, f"    padding = (0, 0)\n{FORWARD}"),
    Mutant("rounded-up", MEAN,
           "sum(taps(np.pad(padded, [(0, 0), (0, 0), *((0, -(s - k) % t) for s, k, t in "
           "zip(padded.shape[2:], kernel_size, stride or kernel_size))]), kernel_size, stride)) / "
           "(kh * kw)"),
    Mutant("value", MEAN, f"1 + {MEAN}"),
    Mutant("shape", MEAN, f"({MEAN})[0]"),
    Mutant("type", f"return {MEAN}", MEAN),
    Mutant("GB058", ADD, "tap += g"),
    Mutant("GB063", ADD, "tap[...] = g / (kh * kw)"),
    Mutant("GB061", ADD, "tap += g\n        break"),
    Mutant("GB002", ADD, "tap -= g / (kh * kw)"),
    Mutant("GB009", ZEROS, f"{ZEROS}\n    g /= 2"),
    by_library("avg_pool2d_forward(x, **how)", "F.avg_pool2d(t(x), **how).numpy()"),
    by_differences("avg_pool2d_backward", "avg_pool2d_forward", 1e-3),
    # here the padding always counts
    *from_catalogue("avg_pool2d", "avg_pool2d_backward",
                    skip=["divided by kh kw though padding does not count"]),
]  # fmt: skip
