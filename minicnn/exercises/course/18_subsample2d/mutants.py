"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, from_catalogue

FORWARD = "coefficient[:, None, None] * s + bias[:, None, None]"
ADDED = "tap += share  # a view: this writes into dx"

BY_LIBRARY = """
import minicnn as mc
def subsample2d_forward(x, coefficient, bias, kernel_size, stride):
    x, coefficient, bias = map(mc.tensor, (x, coefficient, bias))
    return mc.nn.functional.subsample2d(x, coefficient, bias, kernel_size, stride).numpy()
"""

BY_DIFFERENCES = """
def subsample2d_backward(g, x, coefficient, bias, kernel_size, stride):
    def slope(a, i):
        b = a.copy()
        b[i] += 1.0
        inputs = [b if c is a else c for c in (x, coefficient, bias)]
        y = subsample2d_forward(x, coefficient, bias, kernel_size, stride)
        return (g * (subsample2d_forward(*inputs, kernel_size, stride) - y)).sum()
    return tuple(np.array([slope(a, i) for i in np.ndindex(a.shape)]).reshape(a.shape)
                 for a in (x, coefficient, bias))
"""

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
    Mutant("library", new=BY_LIBRARY),
    Mutant("differences", new=BY_DIFFERENCES),
    *from_catalogue("subsample2d", "subsample2d_backward"),
]  # fmt: skip
