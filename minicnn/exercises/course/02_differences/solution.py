"""Exercise 2: central differences, and how small h should be."""

import numpy as np


def forward_difference(f, x, h):
    """The slope of f between x and x + h."""
    return (f(x + h) - f(x)) / h


def central_difference(f, x, h):
    """The slope of f between x - h and x + h."""
    return (f(x + h) - f(x - h)) / (2 * h)


def best_h(x):
    """Where h^2/6 and eps/h are about equal, in proportion to a large x."""
    return np.finfo(float).eps ** (1 / 3) * max(1.0, abs(x))


def numeric_gradient(f, x):
    """df/dx for every entry of x: an array of the shape of x."""
    x = np.array(x, dtype=float)  # a copy: the caller's x stays
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        before = x[i]
        h = best_h(before)
        x[i] = before + h
        above = f(x)
        x[i] = before - h
        below = f(x)
        x[i] = before
        gradient[i] = (above - below) / (2 * h)
    return gradient
