"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_library

SIZE = "(size + 2 * padding - kernel_size) // stride + 1"
LAST = "columns.reshape(n, c * kh * kw, oh * ow)"
INSIDE = "padded[:, :, ph : ph + h, pw : pw + w] = x"
PATCH = "columns[:, :, u, v] ="

MUTANTS = [
    Mutant("one-missing", SIZE, SIZE.removesuffix(" + 1"), "one window is missing",
           "i counts from 0: the last i, plus 1"),
    Mutant("padding-once", SIZE, SIZE.replace("2 * ", ""),
           "the padding is counted on one side only", "p zeros on each of the two sides"),
    Mutant("rounded-up", SIZE, "-((kernel_size - size - 2 * padding) // stride) + 1",
           "a window that sticks out is counted", "rounded down: // does it"),
    Mutant("stride-ignored", SIZE, SIZE.replace("stride", "1"), "the stride is ignored",
           "windows begin at 0, s, 2s, ..."),
    Mutant("type", SIZE, f"float({SIZE})"),
    Mutant("rows-channels-last", LAST,
           "columns.transpose(0, 2, 3, 1, 4, 5).reshape(n, c * kh * kw, oh * ow)",
           "rows in the order (u, v, c)", "the channel is the slowest: r = (c kh + u) kw + v"),
    Mutant("kernel-swapped", LAST, "columns.swapaxes(2, 3).reshape(n, c * kh * kw, oh * ow)",
           "u and v are swapped in the rows", "first u, then v: r = (c kh + u) kw + v"),
    Mutant("kernel-flipped", PATCH, "columns[:, :, kh - 1 - u, kw - 1 - v] =",
           "windows are read backwards", "entry (u, v) at i sh + u, j sw + v"),
    Mutant("windows-by-columns", LAST, "columns.swapaxes(4, 5).reshape(n, c * kh * kw, oh * ow)",
           "windows are counted column by column", "row by row: l = i ow + j"),
    Mutant("windows-as-rows", LAST, f"{LAST}.swapaxes(1, 2)",
           "a row, not a column, for each window", "the result is (N, C*kh*kw, L)"),
    Mutant("windows-mixed", LAST,
           "columns.transpose(0, 4, 5, 1, 2, 3).reshape(n, c * kh * kw, oh * ow)",
           "the axes are reshaped before they stand in their order",
           "(N, C, kh, kw, oh, ow), then reshape; reshape moves nothing"),
    Mutant("padding-missing", "(kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding",
           "(kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, (0, 0)",
           "the padding is missing", "zeros around the image first"),
    Mutant("padding-at-end", INSIDE, "padded[:, :, :h, :w] = x",
           "all the padding is below and to the right", "p zeros on each side"),
    Mutant("padding-not-zero", INSIDE,
           "padded[...] = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)], 'edge')",
           "the image's border is repeated in the padding", "zeros"),
    Mutant("padding-swapped", "(ph, pw) =", "(pw, ph) =", "ph and pw are swapped",
           "(rows, columns)"),
    Mutant("stride-swapped", "(sh, sw), (ph", "(sw, sh), (ph", "sh and sw are swapped",
           "(rows, columns)"),
    Mutant("stride-ignored", "sh * oh, sh)\n            columns[:, :, u, v] = padded[:, :, rows, "
           "v : v + sw * ow : sw]",
           "oh)\n            columns[:, :, u, v] = padded[:, :, rows, v : v + ow]",
           "windows lie side by side", "window (i, j) begins at row i sh, column j sw"),
    Mutant("type", f"return {LAST}", LAST),
    Mutant("shape", LAST, "columns.reshape(n, c, kh * kw, oh * ow)"),
    Mutant("value", LAST, f"2 * {LAST}"),
    Mutant("GB009", INSIDE, f"{INSIDE}\n    x[:] = 0"),
    by_library("im2col(x, kernel_size, **how)", "F.unfold(t(x), kernel_size, **how).numpy()"),
    Mutant("todo", "    padded = np", "    raise NotImplementedError\n    padded = np"),
]  # fmt: skip
