"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

STEP = "np.finfo(float).eps ** (1 / 3) * max(1.0, abs(x))"
CENTRAL = "(f(x + h) - f(x - h)) / (2 * h)"
FORWARD = "(f(x + h) - f(x)) / h"

MUTANTS = [
    Mutant("GB002", FORWARD, "(f(x) - f(x + h)) / h", "the wrong sign", "f(x + h) comes first"),
    Mutant("backward-difference", FORWARD, "(f(x) - f(x - h)) / h",
           "the slope behind x", "f(x + h) - f(x)"),
    Mutant("not-divided", FORWARD, "f(x + h) - f(x)", "not divided by h", "a slope is a quotient"),
    Mutant("two-sided", FORWARD, CENTRAL, "this is the central difference", "from x to x + h"),
    Mutant("GB002", CENTRAL, "(f(x - h) - f(x + h)) / (2 * h)",
           "the wrong sign", "f(x + h) comes first"),
    Mutant("one-sided", CENTRAL, FORWARD, "this is the forward difference", "f(x - h) too"),
    Mutant("one-sided", CENTRAL, "(f(x) - f(x - h)) / h", "this is the backward difference",
           "f(x + h) too"),
    Mutant("half-missing", CENTRAL, "(f(x + h) - f(x - h)) / h",
           "divided by h, not by 2 h", "x + h and x - h are 2 h apart"),
    Mutant("half-missing", CENTRAL, "(f(x + h) - f(x - h)) / 2 * h", "times h in place of divided",
           "/ 2 * h divides by 2 and multiplies by h: write / (2 * h)"),
    Mutant("not-divided", CENTRAL, "f(x + h) - f(x - h)",
           "not divided by 2 h", "a slope is a quotient"),
    Mutant("h-too-small", STEP, "1e-12"),
    Mutant("h-too-large", STEP, "1e-2"),
    Mutant("h-not-scaled", STEP, "1e-5"),
    Mutant("h-too-small", STEP, "np.finfo(float).eps * max(1.0, abs(x))"),
    Mutant("GB002", STEP, "np.finfo(float).eps ** (1 / 3) * x"),
    Mutant("type", STEP, "None"),
    Mutant("half-missing", "(above - below) / (2 * h)", "(above - below) / h",
           "divided by h, not by 2 h", "2 h"),
    Mutant("GB002", "(above - below)", "(below - above)", "the wrong sign", "above - below"),
    Mutant("all-at-once", new="""
def numeric_gradient(f, x):
    x = np.array(x, dtype=float)
    return np.full(x.shape, (f(x + 1e-5) - f(x - 1e-5)) / 2e-5)
""", title="all entries are moved at once", where="one entry at a time: x[i], not x"),
    Mutant("not-put-back", "        x[i] = before\n", ""),
    Mutant("GB011", "x = np.array(x, dtype=float)", "x = np.array(x)"),
    Mutant("GB009", "x = np.array(x, dtype=float)", "x += 0.5"),
    Mutant("shape", "    return gradient", "    return gradient.ravel()"),
    Mutant("library", "x = np.array(x, dtype=float)",
           "import minicnn; x = minicnn.tensor(x).numpy()"),
]  # fmt: skip
