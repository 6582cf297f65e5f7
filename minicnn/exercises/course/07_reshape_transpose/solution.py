"""Exercise 7: the gradients of reshape and of a permutation of axes."""

import numpy as np


def reshape_backward(g, x, shape):
    """g in the shape of x: the order of the numbers stays."""
    return g.reshape(x.shape)


def permute_backward(g, x, dims):
    """g with its axes put back: the inverse permutation."""
    places = [dim % x.ndim for dim in dims]  # negative ones counted from 0
    inverse = np.argsort(places)  # where each axis of x stands
    return np.transpose(g, inverse)
