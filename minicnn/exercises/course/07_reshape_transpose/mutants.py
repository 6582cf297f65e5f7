"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, from_catalogue

MUTANTS = [
    Mutant("GB081", "g.reshape(x.shape)", "g.reshape(x.shape[::-1]).T"),
    Mutant("GB081", "g.reshape(x.shape)", 'g.reshape(x.shape, order="F")'),
    Mutant("GB081", "np.transpose(g, inverse)", "g.reshape(x.shape)"),
    Mutant("GB080", "np.transpose(g, inverse)", "np.transpose(g, places)"),
    Mutant("GB002", "g.reshape(x.shape)", "-g.reshape(x.shape)"),
    *from_catalogue("reshape", "reshape_backward"),
    *from_catalogue("permute", "permute_backward"),
]
