"""Mistakes that the checker must name: `validate` plants each in the solution."""

from minicnn.exercises.mutants import Mutant

# Mutant(code of the first finding, text that occurs once in solution.py, what replaces it, and
# for learners: the mistake in a few words, where to look);
# from_catalogue(op, function) gives those that `minicnn bugs` has of a known operation.
MUTANTS = [
    Mutant("one-missing", "2 * x + 1", "2 * x", "the 1 is not added", "2 x + 1"),
    Mutant("value", "2 * x + 1", "3 * x + 1"),
    Mutant("GB001", "return 2 * g", "return 2 * g**0"),
    Mutant("GB005", "return 2 * g", "return 4 * g"),
    Mutant("GB002", "return 2 * g", "return -2 * g"),
]
