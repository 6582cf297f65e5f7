"""Exercise 2: central differences, and how small h should be."""

import numpy as np


def forward_difference(f, x, h):
    """The slope of f between x and x + h.

    f         takes a number and returns one
    x, h      numbers
    returns   a number
    """
    #: raise NotImplementedError
    return (f(x + h) - f(x)) / h


def central_difference(f, x, h):
    """The slope of f between x - h and x + h; a number."""
    #: raise NotImplementedError
    return (f(x + h) - f(x - h)) / (2 * h)


def best_h(x):
    """The step for a central difference at the number x, in float64."""
    #: raise NotImplementedError
    # where h^2/6 and eps/h are about equal, in proportion to a large x
    return np.finfo(float).eps ** (1 / 3) * max(1.0, abs(x))


def numeric_gradient(f, x):
    """df/dx for every entry of x, by central differences with best_h.

    f         takes an array like x and returns a number
    x         an array of floats or whole numbers, left as it was
    returns   a float64 array of the shape of x
    """
    #: raise NotImplementedError
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


if __name__ == "__main__":  # runs with: python ex02_differences.py
    print(central_difference(lambda x: x**3, 2.0, 0.1))
    print(numeric_gradient(lambda x: (x**2).sum(), np.array([1.0, 2.0, 3.0])))
