"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

FORWARD = "coefficient[:, None, None] * s + bias[:, None, None]"
ADDED = "tap += share  # a view: this writes into dx"

MUTANTS = [
    Mutant("GB071", FORWARD, f"{FORWARD.replace('* s', '* s / np.prod(kernel_size)')}",
           "the mean of the window instead of its sum", "s is a sum: no division by kh*kw"),
    Mutant("coefficient-missing", FORWARD, "s + bias[:, None, None]",
           "the sum is not multiplied", "coefficient[c] * s"),
    Mutant("bias-missing", FORWARD, "coefficient[:, None, None] * s",
           "the bias is not added", "+ bias[c]"),
    Mutant("bias-multiplied", FORWARD, "coefficient[:, None, None] * (s + bias[:, None, None])",
           "the bias is multiplied as well", "first coefficient[c] * s, then + bias[c]"),
    Mutant("coefficient-per-column", FORWARD, "coefficient * s + bias",
           "coefficient and bias run along the columns", "coefficient[:, None, None] is (C, 1, 1)"),
    Mutant("value", FORWARD, f"2 * ({FORWARD})"),
    Mutant("shape", "oh, ow = (h - kh) // sh + 1, (w - kw) // sw + 1",
           "oh, ow = (h - kh) // sh, (w - kw) // sw"),
    Mutant("type", FORWARD, "None"),
    Mutant("GB063", ADDED, "tap[...] = share", "dx is overwritten where windows overlap",
           "+= instead of =: a pixel gets the sum from all windows that cover it"),
    Mutant("GB061", ADDED, "tap += share\n        break",
           "only one corner of each window receives a gradient",
           "every pixel of the window was added, so every one receives it"),
    Mutant("GB009", "    dx = np.zeros_like(x)", "    dx = x"),
    Mutant("GB002", "share = coefficient", "share = -coefficient"),
    by_library("subsample2d_forward(x, coefficient, bias, **how)",
               "F.subsample2d(t(x), t(coefficient), t(bias), **how).numpy()"),
    by_differences("subsample2d_backward", "subsample2d_forward", 1.0),
    *from_catalogue("subsample2d", "subsample2d_backward"),
]  # fmt: skip
