"""Exercise 1: the chain rule for numbers."""


def chain_forward(x, w, b, t):
    """(u, a, L) with u = w x + b, a = u^2, L = (a - t)^2."""
    u = w * x + b
    a = u**2
    return u, a, (a - t) ** 2


def chain_backward(x, w, b, t):
    """(dL/dx, dL/dw, dL/db, dL/dt), from the loss backwards."""
    u, a, _ = chain_forward(x, w, b, t)
    da = 2 * (a - t)  # the last link
    du = da * 2 * u  # times the square's own derivative
    dw = du * x  # u = w x + b: w has the factor x
    dx = du * w  # and x the factor w
    db = du
    dt = -2 * (a - t)  # t enters the last link directly
    return dx, dw, db, dt
