"""Exercise 8: sigmoid, tanh and scaled tanh, with their gradients."""

import numpy as np


def sigmoid_forward(x):
    """1 / (1 + exp(-x)), without overflow: any shape, the same shape."""
    #: raise NotImplementedError
    e = np.exp(-np.abs(x))  # from 0 to 1
    return np.where(x >= 0, 1, e) / (1 + e)


def sigmoid_backward(g, x):
    """dx from g = dL/dy: two arrays of one shape, an array of this shape."""
    #: raise NotImplementedError
    y = sigmoid_forward(x)
    return g * y * (1 - y)  # y' = y (1 - y)


def tanh_forward(x):
    """The hyperbolic tangent: any shape, the same shape."""
    #: raise NotImplementedError
    return np.tanh(x)


def tanh_backward(g, x):
    """dx from g = dL/dy, like above."""
    #: raise NotImplementedError
    y = tanh_forward(x)
    return g * (1 - y**2)  # y' = 1 - y^2


def scaled_tanh_forward(x, amplitude=1.7159, slope=2 / 3):
    """A tanh(S x), with A the amplitude and S the slope."""
    #: raise NotImplementedError
    return amplitude * np.tanh(slope * x)


def scaled_tanh_backward(g, x, amplitude=1.7159, slope=2 / 3):
    """dx from g = dL/dy, like above."""
    #: raise NotImplementedError
    y = scaled_tanh_forward(x, amplitude, slope)
    t = y / amplitude  # tanh(S x)
    return g * amplitude * slope * (1 - t**2)  # y' = A S (1 - (y/A)^2)


if __name__ == "__main__":  # runs with: python ex08_sigmoid_tanh.py
    print(sigmoid_forward(np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0])))
    print(tanh_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])))
