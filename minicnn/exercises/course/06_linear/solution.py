"""Exercise 6: a linear layer, forward and backward."""


def linear_forward(x, weight, bias):
    """y = x weight^T + bias: (N, I), (O, I), (O,) -> (N, O)."""
    return x @ weight.T + bias  # (N, I) (I, O) + (O,)


def linear_backward(g, x, weight, bias):
    """(dx, dweight, dbias) from g = dL/dy, shaped (N, O)."""
    dx = g @ weight  # (N, O) (O, I) -> (N, I)
    dweight = g.T @ x  # (O, N) (N, I) -> (O, I)
    dbias = g.sum(axis=0)  # (N, O) -> (O,)
    return dx, dweight, dbias
