"""Exercise 10: softmax and cross-entropy, with their gradient."""

import numpy as np


def softmax(x):
    """exp(x) over its sum, row by row: (N, C) -> (N, C)."""
    raise NotImplementedError


def softmax_cross_entropy_forward(x, target):
    """The mean over the batch of -log softmax(x)[n, target[n]].

    x       (N, C)  logits
    target  (N,)    integers from 0 to C - 1
    returns one number
    """
    raise NotImplementedError


def softmax_cross_entropy_backward(g, x, target):
    """The gradient of the logits.

    g       dL/dloss, one number
    returns dx, (N, C); integers, the labels, have no gradient
    """
    raise NotImplementedError


if __name__ == "__main__":  # python ex10_softmax_cross_entropy.py
    x, target = np.log([[1.0, 2.0, 1.0], [3.0, 1.0, 4.0]]), np.array([1, 0])
    print(softmax(x), softmax_cross_entropy_forward(x, target))
