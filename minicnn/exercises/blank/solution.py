"""Twice and one more."""


def twice_forward(x):
    """2 x + 1: (N,) -> (N,)."""
    return 2 * x + 1


def twice_backward(g, x):
    """dx from g = dL/dy: (N,), (N,) -> (N,)."""
    return 2 * g
