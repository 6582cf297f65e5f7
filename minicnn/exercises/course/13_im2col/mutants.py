"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_library

SIZE = "(size + 2 * padding - kernel_size) // stride + 1"
LAST = "columns.reshape(n, c * kh * kw, oh * ow)"
INSIDE = "padded[:, :, ph : ph + h, pw : pw + w] = x"
PATCH = "columns[:, :, u, v] ="

MUTANTS = [
    Mutant("one-missing", SIZE, SIZE.removesuffix(" + 1")),
    Mutant("padding-once", SIZE, SIZE.replace("2 * ", "")),
    Mutant("rounded-up", SIZE, "-((kernel_size - size - 2 * padding) // stride) + 1"),
    Mutant("stride-ignored", SIZE, SIZE.replace("stride", "1")),
    Mutant("type", SIZE, f"float({SIZE})"),
    Mutant("rows-channels-last", LAST,
           "columns.transpose(0, 2, 3, 1, 4, 5).reshape(n, c * kh * kw, oh * ow)"),
    Mutant("kernel-swapped", LAST, "columns.swapaxes(2, 3).reshape(n, c * kh * kw, oh * ow)"),
    Mutant("kernel-flipped", PATCH, "columns[:, :, kh - 1 - u, kw - 1 - v] ="),
    Mutant("windows-by-columns", LAST, "columns.swapaxes(4, 5).reshape(n, c * kh * kw, oh * ow)"),
    Mutant("windows-as-rows", LAST, f"{LAST}.swapaxes(1, 2)"),
    Mutant("windows-mixed", LAST,
           "columns.transpose(0, 4, 5, 1, 2, 3).reshape(n, c * kh * kw, oh * ow)"),
    Mutant("padding-missing", "(kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding",
           "(kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, (0, 0)"),
    Mutant("padding-at-end", INSIDE, "padded[:, :, :h, :w] = x"),
    Mutant("padding-not-zero", INSIDE,
           "padded[...] = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)], 'edge')"),
    Mutant("padding-swapped", "(ph, pw) =", "(pw, ph) ="),
    Mutant("stride-swapped", "(sh, sw), (ph", "(sw, sh), (ph"),
    Mutant("stride-ignored", "sh * oh, sh)\n            columns[:, :, u, v] = padded[:, :, rows, "
           "v : v + sw * ow : sw]",
           "oh)\n            columns[:, :, u, v] = padded[:, :, rows, v : v + ow]"),
    Mutant("type", f"return {LAST}", LAST),
    Mutant("shape", LAST, "columns.reshape(n, c, kh * kw, oh * ow)"),
    Mutant("value", LAST, f"2 * {LAST}"),
    Mutant("GB009", INSIDE, f"{INSIDE}\n    x[:] = 0"),
    by_library("im2col(x, kernel_size, **how)", "F.unfold(t(x), kernel_size, **how).numpy()"),
    Mutant("todo", "    padded = np", "    raise NotImplementedError\n    padded = np"),
]  # fmt: skip
