"""Dropout, and the mistakes in its backward pass."""

import numpy as np

from .kinds import Bug, Operation

BUGS = (
    Bug(
        "GB088", "no 1/keep",
        "dx = g * mask", "dx = g * mask / keep      # keep = 1 - p",
        "r = keep = 1 - p where the mask lets through",
        "The forward pass divides by keep, so that the mean stays; the gradient is divided too.",
    ),
    Bug(
        "GB089", "1/keep twice",
        "dx = g * mask / keep / keep", "dx = g * mask / keep",
        "r = 1/keep where the mask lets through",
        "Divide once: if the saved mask already holds 1/keep, do not divide by keep again.",
    ),
    Bug(
        "GB090", "a fresh mask in backward",
        "mask = rng.random(x.shape) < keep    # in backward",
        "mask = self.mask                     # saved by forward",
        "zeros in other places than n's; other ones at each call",
        "Save the mask in forward and use it again: only what was let through has a gradient.",
    ),
    Bug(
        "GB091", "no mask",
        "dx = g", "dx = g * mask / keep",
        "a = g everywhere, also where n = 0",
        "What was dropped did not influence the output: multiply by the mask and 1/keep.",
    ),
)  # fmt: skip


def forward(input, mask, p=0.5):
    """What the mask keeps, divided by 1 - p; mask holds booleans, shaped as the input."""
    return input * mask / (1 - p)


def backward(g, input, mask, p=0.5):
    """g where the mask keeps, divided by 1 - p."""
    return (g * mask / (1 - p),)


def sample(rng):
    shape, p = rng.permutation([3, 4, 5])[:2], float(rng.uniform(0.2, 0.7))
    mask = rng.random(shape) >= p
    mask.flat[:2] = (True, False)
    return [rng.standard_normal(shape)], {"mask": mask, "p": p}


def examples():
    mask = np.array([[True, False, True], [True, True, False]])
    return [([np.array([[1.0, 2, -1], [3, -1, 2]])], {"mask": mask, "p": 0.5})]


dropout = Operation("dropout", ("input",), forward, backward, sample, examples)


@dropout.mutant("GB088", "not divided by keep")
def _(g, input, mask, p=0.5):
    return (g * mask,)


@dropout.mutant("GB089", "divided by keep twice")
def _(g, input, mask, p=0.5):
    keep = 1 - p
    return (g * mask / keep / keep,)


@dropout.mutant("GB090", "a fresh mask")
def _(g, input, mask, p=0.5):
    fresh = np.random.default_rng().random(input.shape) >= p
    fresh.flat[:2] = (False, True)  # so that no chance makes it the right one
    return (g * fresh / (1 - p),)


@dropout.mutant("GB091", "no mask")
def _(g, input, mask, p=0.5):
    return (g.copy(),)


@dropout.mutant("GB091", "the factor without the mask")
def _(g, input, mask, p=0.5):
    return (g / (1 - p),)


def _drawn_each_time(input, mask, p=0.5):
    return input * (np.random.default_rng().random(input.shape) >= p) / (1 - p)


@dropout.mutant("GB012", "forward draws a mask at each call", forward=_drawn_each_time)
def _(g, input, mask, p=0.5):
    return (g * mask / (1 - p),)


OPERATIONS = (dropout,)
