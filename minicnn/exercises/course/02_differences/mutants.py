"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

STEP = "np.finfo(float).eps ** (1 / 3) * max(1.0, abs(x))"
CENTRAL = "(f(x + h) - f(x - h)) / (2 * h)"
FORWARD = "(f(x + h) - f(x)) / h"

MUTANTS = [
    Mutant("GB002", FORWARD, "(f(x) - f(x + h)) / h"),
    Mutant("backward-difference", FORWARD, "(f(x) - f(x - h)) / h"),
    Mutant("not-divided", FORWARD, "f(x + h) - f(x)"),
    Mutant("two-sided", FORWARD, CENTRAL),
    Mutant("GB002", CENTRAL, "(f(x - h) - f(x + h)) / (2 * h)"),
    Mutant("one-sided", CENTRAL, FORWARD),
    Mutant("half-missing", CENTRAL, "(f(x + h) - f(x - h)) / h"),
    Mutant("half-missing", CENTRAL, "(f(x + h) - f(x - h)) / 2 * h"),
    Mutant("not-divided", CENTRAL, "f(x + h) - f(x - h)"),
    Mutant("h-too-small", STEP, "1e-12"),
    Mutant("h-too-large", STEP, "1e-2"),
    Mutant("h-not-scaled", STEP, "1e-5"),
    Mutant("h-too-small", STEP, "np.finfo(float).eps * max(1.0, abs(x))"),
    Mutant("GB002", STEP, "np.finfo(float).eps ** (1 / 3) * x"),
    Mutant("type", STEP, "None"),
    Mutant("half-missing", "(above - below) / (2 * h)", "(above - below) / h"),
    Mutant("GB002", "(above - below)", "(below - above)"),
    Mutant("all-at-once", new="""
def numeric_gradient(f, x):
    x = np.array(x, dtype=float)
    return np.full(x.shape, (f(x + 1e-5) - f(x - 1e-5)) / 2e-5)
"""),
    Mutant("not-put-back", "        x[i] = before\n", ""),
    Mutant("GB011", "x = np.array(x, dtype=float)", "x = np.array(x)"),
    Mutant("GB009", "x = np.array(x, dtype=float)", "x += 0.5"),
    Mutant("shape", "    return gradient", "    return gradient.ravel()"),
    Mutant("library", "x = np.array(x, dtype=float)",
           "import minicnn; x = minicnn.tensor(x).numpy()"),
]  # fmt: skip
