"""Exercise 9: ReLU and leaky ReLU, with their gradients and kinks."""

import numpy as np


def relu_forward(x):
    """x where it is positive, else 0: any shape, the same shape."""
    #: raise NotImplementedError
    return np.maximum(x, 0)


def relu_backward(g, x):
    """dx from g = dL/dy: two arrays of one shape, an array of this shape.

    The slope at x = 0 is 0.
    """
    #: raise NotImplementedError
    return g * (x > 0)  # 0 also at x = 0


def leaky_relu_forward(x, negative_slope=0.01):
    """x where it is positive, else negative_slope times x."""
    #: raise NotImplementedError
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(g, x, negative_slope=0.01):
    """dx from g = dL/dy, like above; the slope at x = 0 is negative_slope."""
    #: raise NotImplementedError
    return np.where(x > 0, g, negative_slope * g)


def near_kink(x, h):
    """Whether 0 lies between x - h and x + h: bools of the shape of x."""
    #: raise NotImplementedError
    return np.abs(x) < h


if __name__ == "__main__":  # runs with: python ex09_relu.py
    x = np.array([-2.0, 0.0, 3.0])
    print(relu_forward(x), relu_backward(np.array([1.0, 5.0, 2.0]), x))
