"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

ADD = "padded[:, :, rows, v : v + sw * ow : sw] += six[:, :, u, v]"
CROP = "padded[:, :, ph : ph + h, pw : pw + w]"
SIX = "columns.reshape(n, c, kh, kw, oh, ow)"
COUNTS = "col2im(ones, output_size, kernel_size, stride, padding)[0, 0]"
BACKWARD = "return col2im(g, x.shape[2:], kernel_size, stride, padding)"

BY_WINDOWS = """for i, j in np.ndindex(oh, ow):
                padded[:, :, i * sh + u, j * sw + v] = six[:, :, u, v, i, j]"""

ONE_WINDOW_AFTER_THE_OTHER = """
    for i, j in np.ndindex(oh, ow):
        padded[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw] = six[..., i, j]
    return """

MUTANTS = [
    Mutant("counts-with-border", f"return {COUNTS}",
           "p, q = padding\n    whole = (h + 2 * p, w + 2 * q)\n"
           "    return col2im(ones, whole, kernel_size, stride)[0, 0]",
           "the border is counted too", "of pixels only"),
    Mutant("covered-or-not", COUNTS, f"({COUNTS} > 0) * 1.0",
           "1 wherever any window lies", "how many"),
    Mutant("entries-of-window", COUNTS, "np.full(output_size, kh * kw)", "the size of a window",
           "how many windows cover a pixel, not how many pixels a window covers"),
    Mutant("four-axes", COUNTS, COUNTS.removesuffix("[0, 0]"),
           "the counts have four axes", "(H, W) only"),
    Mutant("GB044", ADD, ADD.replace("+=", "="),
           "col2im assigns instead of adds", "+= where several windows cover a pixel"),
    Mutant("GB044", ADD, BY_WINDOWS),
    Mutant("GB044", f"\n    return {CROP}", f"\n{ONE_WINDOW_AFTER_THE_OTHER}{CROP}",
           "col2im assigns instead of adds", "+= where several windows cover a pixel"),
    Mutant("divided-by-counts", f"return {CROP}",
           "counts = np.zeros((h + 2 * ph, w + 2 * pw))\n    for i, j in np.ndindex(oh, ow):\n"
           "        counts[i * sh : i * sh + kh, j * sw : j * sw + kw] += 1\n"
           f"    return (padded / np.maximum(counts, 1)){CROP.removeprefix('padded')}",
           "the mean over the windows", "a sum"),
    Mutant("GB048", CROP, "padded",
           "the border is still there", "padded[:, :, ph : ph + H, pw : pw + W]"),
    Mutant("GB048", CROP, "padded[:, :, :h, :w]",
           "the border is cut off below and to the right only",
           "padded[:, :, ph : ph + H, pw : pw + W]"),
    Mutant("GB048", CROP, "padded[:, :, pw : pw + h, ph : ph + w]",
           "ph and pw are swapped where the border is cut off",
           "padded[:, :, ph : ph + H, pw : pw + W]"),
    Mutant("GB050", "sh * oh, sh)\n            padded[:, :, rows, v : v + sw * ow : sw]",
           "oh)\n            padded[:, :, rows, v : v + ow]",
           "the stride is ignored", "window (i, j) begins at row i sh, column j sw"),
    Mutant("GB055", SIX, "columns.reshape(n, kh, kw, c, oh, ow).transpose(0, 3, 1, 2, 4, 5)",
           "rows are read in the order (u, v, c)", "im2col has the rows in the order (c, u, v)"),
    Mutant("GB047", SIX, "columns.reshape(n, c, kw, kh, oh, ow).swapaxes(2, 3)",
           "u and v are swapped", "im2col has the rows in the order (c, u, v)"),
    Mutant("GB045", SIX, f"{SIX}[:, :, ::-1, ::-1]", "windows are put back upside down",
           "entry (u, v) goes to row i sh + u, column j sw + v"),
    Mutant("windows-by-columns", SIX, "columns.reshape(n, c, kh, kw, ow, oh).swapaxes(4, 5)",
           "windows are counted column by column", "l = i ow + j"),
    Mutant("value", ADD, ADD.replace("six", "2 * six")),
    Mutant("shape", f"return {CROP}", f"return {CROP}[0]"),
    Mutant("GB009", BACKWARD, f"g *= 2\n    {BACKWARD}"),
    Mutant("GB002", BACKWARD, BACKWARD.replace("col2im", "-col2im")),
    by_library("col2im(columns, size, kernel_size, **how)",
               "F.fold(t(columns), size, kernel_size, **how).numpy()"),
    by_differences("im2col_backward", "(lambda x, **how: np.zeros(1))", 1.0),
    # no dilation in this exercise
    *from_catalogue("im2col", "im2col_backward", skip=["GB052"]),
]  # fmt: skip
