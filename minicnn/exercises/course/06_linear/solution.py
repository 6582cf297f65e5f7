"""Exercise 6: a linear layer, forward and backward."""

import numpy as np


def linear_forward(x, weight, bias):
    """y = x weight^T + bias.

    x       (N, I)  N samples, I features
    weight  (O, I)  O outputs
    bias    (O,)
    returns (N, O)
    """
    #: raise NotImplementedError
    return x @ weight.T + bias  # (N, I) (I, O) + (O,)


def linear_backward(g, x, weight, bias):
    """The gradients of the loss, given g = dL/dy.

    g       (N, O)
    returns (dx, dweight, dbias), shaped (N, I), (O, I), (O,)
    """
    #: raise NotImplementedError
    dx = g @ weight  # (N, O) (O, I) -> (N, I)
    dweight = g.T @ x  # (O, N) (N, I) -> (O, I)
    dbias = g.sum(axis=0)  # (N, O) -> (O,)
    return dx, dweight, dbias


if __name__ == "__main__":  # runs with: python ex06_linear.py
    x, weight = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]])
    print(linear_forward(x, weight, np.array([7.0])))
