"""Exercise 2: central differences, and how small h should be."""

import numpy as np


def forward_difference(f, x, h):
    """The slope of f between x and x + h.

    f         takes a number and returns one
    x, h      numbers
    returns   a number
    """
    raise NotImplementedError


def central_difference(f, x, h):
    """The slope of f between x - h and x + h; a number."""
    raise NotImplementedError


def best_h(x):
    """The step for a central difference at the number x, in float64."""
    raise NotImplementedError


def numeric_gradient(f, x):
    """df/dx for every entry of x, by central differences with best_h.

    f         takes an array like x and returns a number
    x         an array of floats or whole numbers, left as it was
    returns   a float64 array of the shape of x
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex02_differences.py
    print(central_difference(lambda x: x**3, 2.0, 0.1))
    print(numeric_gradient(lambda x: (x**2).sum(), np.array([1.0, 2.0, 3.0])))
