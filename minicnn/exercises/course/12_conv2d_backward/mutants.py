"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, from_catalogue

DX = "dxp[n, :, rows, columns] += g[n, o, i, j] * weight[o]"
DW = "dweight[o] += g[n, o, i, j] * window"
UNSTRIDED = "the stride is ignored", "the window starts at row i·sh and column j·sw"

BY_LIBRARY = """
import minicnn as mc
def conv2d_backward(g, x, weight, bias, **how):
    inputs = [mc.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    mc.nn.functional.conv2d(*inputs, **how).backward(mc.tensor(g))
    return tuple(a.grad.numpy() for a in inputs)
"""

MUTANTS = [
    Mutant("GB044", DX, "dxp[n, :, rows, columns] = g[n, o, i, j] * weight[o]",
           "dx is assigned, not added up",
           "dx: += in place of =; here the last window and kernel win"),
    Mutant("GB044", DW, "dweight[o] = g[n, o, i, j] * window", "dweight is assigned, not added up",
           "dweight: += in place of =; here the last window and kernel win"),
    Mutant("GB045", DX, "dxp[n, :, rows, columns] += g[n, o, i, j] * weight[o, :, ::-1, ::-1]"),
    Mutant("GB001", DX, "dxp[n, :, rows, columns] += weight[o]"),
    Mutant("GB050", "rows = slice(i * sh, i * sh + kh)", "rows = slice(i, i + kh)", *UNSTRIDED),
    Mutant("GB050", "columns = slice(j * sw, j * sw + kw)", "columns = slice(j, j + kw)",
           *UNSTRIDED),
    Mutant("GB050", "= pair(stride), pair(padding)", "= (1, 1), pair(padding)", *UNSTRIDED),
    Mutant("GB009", "xp = np.pad(", "weight *= 2; xp = np.pad("),
    Mutant("library", new=BY_LIBRARY),
    by_differences("conv2d_backward", "(lambda x, weight, bias, **how: np.zeros(1))", 1.0),
    *from_catalogue("conv2d", "conv2d_backward", skip=["GB052", "GB053", "dx gathered in float64"]),
]  # fmt: skip
