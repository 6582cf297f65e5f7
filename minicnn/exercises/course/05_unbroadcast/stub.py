"""Exercise 5: un-broadcasting."""

import numpy as np


def unbroadcast(g, shape):
    """g, summed where an array of this shape was stretched.

    g         an array
    shape     a tuple that broadcasts to g.shape: (2,) to (3, 2), for example
    returns   an array of this shape
    """
    raise NotImplementedError


def add_backward(g, x, y):
    """The gradients of x + y.

    x, y      arrays whose shapes broadcast
    g         dL/d(x + y), of the shape of x + y
    returns   (dx, dy), of the shapes of x and of y
    """
    raise NotImplementedError


def mul_backward(g, x, y):
    """The gradients of x * y: (dx, dy), as in add_backward."""
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex05_unbroadcast.py
    print(unbroadcast(np.ones((3, 2)), (2,)))
