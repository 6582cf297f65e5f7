"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

FORWARD = "coefficient[:, None, None] * s + bias[:, None, None]"
ADDED = "tap += share  # a view: this writes into dx"

MUTANTS = [
    Mutant("GB071", FORWARD, f"{FORWARD.replace('* s', '* s / np.prod(kernel_size)')}"),
    Mutant("coefficient-missing", FORWARD, "s + bias[:, None, None]"),
    Mutant("bias-missing", FORWARD, "coefficient[:, None, None] * s"),
    Mutant("bias-multiplied", FORWARD, "coefficient[:, None, None] * (s + bias[:, None, None])"),
    Mutant("coefficient-per-column", FORWARD, "coefficient * s + bias"),
    Mutant("value", FORWARD, f"2 * ({FORWARD})"),
    Mutant("shape", "oh, ow = (h - kh) // sh + 1, (w - kw) // sw + 1",
           "oh, ow = (h - kh) // sh, (w - kw) // sw"),
    Mutant("type", FORWARD, "None"),
    Mutant("GB063", ADDED, "tap[...] = share"),
    Mutant("GB061", ADDED, "tap += share\n        break"),
    Mutant("GB009", "    dx = np.zeros_like(x)", "    dx = x"),
    Mutant("GB002", "share = coefficient", "share = -coefficient"),
    by_library("subsample2d_forward(x, coefficient, bias, **how)",
               "F.subsample2d(t(x), t(coefficient), t(bias), **how).numpy()"),
    by_differences("subsample2d_backward", "subsample2d_forward", 1.0),
    *from_catalogue("subsample2d", "subsample2d_backward"),
]  # fmt: skip
