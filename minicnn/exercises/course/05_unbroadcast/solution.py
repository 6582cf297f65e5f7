"""Exercise 5: un-broadcasting."""

import numpy as np


def unbroadcast(g, shape):
    """g, summed where an array of this shape was stretched.

    g         an array
    shape     a tuple that broadcasts to g.shape: (2,) to (3, 2), for example
    returns   an array of this shape
    """
    #: raise NotImplementedError
    missing = g.ndim - len(shape)  # axes that the array did not have
    g = g.sum(axis=tuple(range(missing)))  # now as many axes as in shape
    stretched = tuple(i for i, size in enumerate(shape) if size == 1)
    return g.sum(axis=stretched, keepdims=True)


def add_backward(g, x, y):
    """The gradients of x + y.

    x, y      arrays whose shapes broadcast
    g         dL/d(x + y), of the shape of x + y
    returns   (dx, dy), of the shapes of x and of y
    """
    #: raise NotImplementedError
    return unbroadcast(g, x.shape), unbroadcast(g, y.shape)  # the factor is 1


def mul_backward(g, x, y):
    """The gradients of x * y: (dx, dy), as in add_backward."""
    #: raise NotImplementedError
    # the factor is the other operand, inside the sum
    return unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)


if __name__ == "__main__":  # runs with: python ex05_unbroadcast.py
    print(unbroadcast(np.ones((3, 2)), (2,)))
