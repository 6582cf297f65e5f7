"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, from_catalogue

LAST = "return g.sum(axis=stretched, keepdims=True)"

MUTANTS = [
    Mutant("GB076", new="def unbroadcast(g, shape):\n    return g.copy()"),
    Mutant("GB077", "g = g.sum(", "g = g.mean("),
    Mutant("GB077", LAST, "return g.mean(axis=stretched, keepdims=True)"),
    Mutant("GB078", "tuple(range(missing))", "tuple(range(-missing, 0))"),
    Mutant("one-copy-only", "g = g.sum(axis=tuple(range(missing)))", "g = g[(0,) * missing]"),
    Mutant("size-1-lost", ", keepdims=True", ""),
    Mutant("size-1-left", LAST, "return g"),
    Mutant("GB079", "unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)",
           "unbroadcast(g * x, x.shape), unbroadcast(g * y, y.shape)"),
    Mutant("GB001", "unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)",
           "unbroadcast(y + 0 * g, x.shape), unbroadcast(x + 0 * g, y.shape)"),
    Mutant("library", LAST, "import minicnn; return minicnn.tensor(g).sum_to_size(shape).numpy()"),
    *from_catalogue("add", "add_backward"),
    *from_catalogue("mul", "mul_backward"),
]  # fmt: skip
