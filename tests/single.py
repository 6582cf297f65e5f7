"""Kernels called by their names with arrays, as tests want to: pairs, and runs of one call."""

import numpy as np

from minicnn import kernels
from minicnn.kernels import PAIRS
from minicnn.kernels.calls import START, Call

APART = {
    "batch_norm", "cross_entropy", "dropout", "max_pool2d_with_indices", "softmax_cross_entropy"
}  # fmt: skip
IN_RUNS = [name for name in PAIRS if name not in APART]  # what a run can hold


def parts(name, args):
    """(a chain of one call, x, the weights) for a kernel's arguments."""
    count = 1
    while count < len(args) and (args[count] is None or isinstance(args[count], np.ndarray)):
        count += 1
    x, weights, arguments = args[0], tuple(args[1:count]), tuple(args[count:])
    shapes = tuple(None if w is None else w.shape for w in weights)
    return START.then(Call(name, x.shape, x.dtype, arguments, shapes)), x, weights


def forward(name, *args, needs=None):
    """(y, what `backward` takes) of a pair."""
    if name in APART:
        return kernels.forward(name, *args)
    chain, x, weights = parts(name, args)
    needs = needs or (True, *(w is not None for w in weights))
    return kernels.run(chain, x, weights, needs)


def backward(name, g, saved, needs):
    """The gradients of a pair."""
    return (
        (kernels.backward(name, g, saved, needs))
        if name in APART
        else kernels.back(g, saved, needs)
    )
