"""Exercise 8: sigmoid, tanh and scaled tanh, with their gradients."""

import numpy as np


def sigmoid_forward(x):
    """1 / (1 + exp(-x)), without overflow: any shape, the same shape."""
    e = np.exp(-np.abs(x))  # from 0 to 1
    return np.where(x >= 0, 1, e) / (1 + e)


def sigmoid_backward(g, x):
    """y' = y (1 - y)."""
    y = sigmoid_forward(x)
    return g * y * (1 - y)


def tanh_forward(x):
    """The hyperbolic tangent: any shape, the same shape."""
    return np.tanh(x)


def tanh_backward(g, x):
    """y' = 1 - y^2."""
    y = tanh_forward(x)
    return g * (1 - y**2)


def scaled_tanh_forward(x, amplitude=1.7159, slope=2 / 3):
    """A tanh(S x), with A the amplitude and S the slope."""
    return amplitude * np.tanh(slope * x)


def scaled_tanh_backward(g, x, amplitude=1.7159, slope=2 / 3):
    """y' = A S (1 - (y/A)^2)."""
    y = scaled_tanh_forward(x, amplitude, slope)
    t = y / amplitude  # tanh(S x)
    return g * amplitude * slope * (1 - t**2)
