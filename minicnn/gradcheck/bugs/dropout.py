"""Dropout, and the mistakes in its backward pass."""

import numpy as np

from .operation import Bug, Operation, normal

BUGS = (
    Bug("GB088", "no 1/keep",
        "dx = g * mask", "dx = g * mask / keep      # keep = 1 - p",
        "r = keep = 1 - p where the mask lets through",
        "The forward pass divides by keep, so that the mean stays; the gradient is divided too."),
    Bug("GB089", "1/keep twice",
        "dx = g * mask / keep / keep", "dx = g * mask / keep",
        "r = 1/keep where the mask lets through",
        "Divide once: if the saved mask already holds 1/keep, do not divide by keep again."),
    Bug("GB090", "a fresh mask in backward",
        "mask = rng.random(x.shape) < keep    # in backward",
        "mask = self.mask                     # saved by forward",
        "zeros in other places than n's; other ones at each call",
        "Save the mask in forward and use it again: only what was let through has a gradient."),
    Bug("GB091", "no mask",
        "dx = g", "dx = g * mask / keep",
        "a = g everywhere, also where n = 0",
        "What was dropped did not influence the output: multiply by the mask and 1/keep."),
)  # fmt: skip


def forward(input, mask, p=0.5):
    """What the mask keeps, divided by 1 - p; mask holds booleans, shaped as the input."""
    return input * mask / (1 - p)


def drawn_each_time(input, mask, p=0.5):
    return input * (np.random.default_rng().random(input.shape) >= p) / (1 - p)


def sample(rng):
    (x,), p = normal("nc", sizes=(3, 4, 5))(rng)[0], float(rng.uniform(0.2, 0.7))
    mask = rng.random(x.shape) >= p
    mask.flat[:2] = (True, False)
    return [x], {"mask": mask, "p": p}


X, MASK = np.array([[1.0, 2, -1], [3, -1, 2]]), np.array([[1, 0, 1], [1, 1, 0]], bool)


def fresh_mask(g, mask, p):
    mask = np.random.default_rng().random(g.shape) >= p
    mask.flat[:2] = (False, True)  # so that no chance makes it the right one
    return g * mask / (1 - p)


dropout = Operation(
    "dropout", ("input",), forward, {"dx": lambda g, mask, p: g * mask / (1 - p)}, sample,
    [([X], {"mask": MASK, "p": 0.5})], saved=lambda input, mask, p=0.5: (mask, p),
)  # fmt: skip

wrong = dropout.wrong
wrong("GB088", "not divided by keep", dx=lambda g, mask, p: g * mask)
wrong("GB089", "divided by keep twice", dx=lambda g, mask, p: g * mask / (1 - p) / (1 - p))
wrong("GB090", "a fresh mask", dx=fresh_mask)
wrong("GB091", "no mask", dx=lambda g, mask, p: g.copy())
wrong("GB091", "the factor without the mask", dx=lambda g, mask, p: g / (1 - p))
wrong("GB012", "forward draws a mask at each call", forward=drawn_each_time)

OPERATIONS = (dropout,)
