"""Exercise 8: sigmoid, tanh and scaled tanh, with their gradients."""

import numpy as np


def sigmoid_forward(x):
    """1 / (1 + exp(-x)), without overflow: any shape, the same shape."""
    raise NotImplementedError


def sigmoid_backward(g, x):
    """dx from g = dL/dy: two arrays of one shape, an array of this shape."""
    raise NotImplementedError


def tanh_forward(x):
    """The hyperbolic tangent: any shape, the same shape."""
    raise NotImplementedError


def tanh_backward(g, x):
    """dx from g = dL/dy, like above."""
    raise NotImplementedError


def scaled_tanh_forward(x, amplitude=1.7159, slope=2 / 3):
    """A tanh(S x), with A the amplitude and S the slope."""
    raise NotImplementedError


def scaled_tanh_backward(g, x, amplitude=1.7159, slope=2 / 3):
    """dx from g = dL/dy, like above."""
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex08_sigmoid_tanh.py
    print(sigmoid_forward(np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0])))
    print(tanh_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])))
