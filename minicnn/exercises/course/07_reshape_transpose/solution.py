"""Exercise 7: the gradients of reshape and of a permutation of axes."""

import numpy as np


def reshape_backward(g, x, shape):
    """The gradient of x.reshape(shape).

    g         dL/dy, of the shape of y = x.reshape(shape)
    shape     as for NumPy: may contain one -1
    returns   dx, of the shape of x
    """
    #: raise NotImplementedError
    return g.reshape(x.shape)  # the order of the numbers stays


def permute_backward(g, x, dims):
    """The gradient of np.transpose(x, dims).

    g         dL/dy, of the shape of y = np.transpose(x, dims)
    dims      axis j of y is axis dims[j] of x; may be negative
    returns   dx, of the shape of x
    """
    #: raise NotImplementedError
    places = [dim % x.ndim for dim in dims]  # negative ones counted from 0
    inverse = np.argsort(places)  # where each axis of x stands
    return np.transpose(g, inverse)


if __name__ == "__main__":  # runs with: python ex07_reshape_transpose.py
    g = np.array([[1.0, 2], [3, 4], [5, 6]])
    print(permute_backward(g, np.zeros((2, 3)), (1, 0)))
