"""Exercise 9: ReLU and leaky ReLU, with their gradients and kinks."""

import numpy as np


def relu_forward(x):
    """x where it is positive, else 0: any shape, the same shape."""
    return np.maximum(x, 0)


def relu_backward(g, x):
    """g where x is positive, else 0, also at x = 0."""
    return g * (x > 0)


def leaky_relu_forward(x, negative_slope=0.01):
    """x where it is positive, else negative_slope times x."""
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(g, x, negative_slope=0.01):
    """g where x is positive, else negative_slope times g."""
    return np.where(x > 0, g, negative_slope * g)


def near_kink(x, h):
    """Whether 0 lies between x - h and x + h: bools of the shape of x."""
    return np.abs(x) < h
