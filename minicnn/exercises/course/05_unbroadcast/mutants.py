"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, from_catalogue

LAST = "return g.sum(axis=stretched, keepdims=True)"

MEAN = """
def unbroadcast(g, shape, summed=unbroadcast):
    return summed(g, shape) / (g.size / np.prod(shape))
"""
LEFT = """
def unbroadcast(g, shape, summed=unbroadcast):
    y = g.sum(axis=0)
    return y.reshape(shape) if y.size == np.prod(shape) else summed(g, shape)
"""

MUTANTS = [
    Mutant("GB076", new="def unbroadcast(g, shape):\n    return g.copy()",
           title="g is returned as it is", where="sum over the axes that were stretched"),
    Mutant("GB077", "g = g.sum(", "g = g.mean(", "the mean over missing axes", "sum, not mean"),
    Mutant("GB077", LAST, "return g.mean(axis=stretched, keepdims=True)",
           "the mean over axes of size 1", "sum, not mean"),
    Mutant("GB077", new=MEAN, title="the mean in place of the sum", where="sum, not mean"),
    Mutant("GB078", new=LEFT, title="summed over the wrong axis",
           where="shapes are lined up at the right end: missing axes are on the left"),
    Mutant("GB078", "tuple(range(missing))", "tuple(range(-missing, 0))",
           "summed over the wrong axis",
           "shapes are lined up at the right end: missing axes are on the left"),
    Mutant("one-copy-only", "g = g.sum(axis=tuple(range(missing)))", "g = g[(0,) * missing]",
           "one copy's gradient, not all of them", "sum over all copies"),
    Mutant("size-1-lost", ", keepdims=True", "",
           "an axis of size 1 is dropped", "keepdims=True for the axes of size 1 in shape"),
    Mutant("size-1-left", LAST, "return g",
           "axes of size 1 are not summed", "step 2: where shape has 1 and g has more"),
    Mutant("GB079", "unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)",
           "unbroadcast(g * x, x.shape), unbroadcast(g * y, y.shape)"),
    Mutant("GB001", "unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)",
           "unbroadcast(y + 0 * g, x.shape), unbroadcast(x + 0 * g, y.shape)"),
    Mutant("library", LAST, "import minicnn; return minicnn.tensor(g).sum_to_size(shape).numpy()"),
    *from_catalogue("add", "add_backward"),
    *from_catalogue("mul", "mul_backward"),
]  # fmt: skip
