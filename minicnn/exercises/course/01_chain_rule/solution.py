"""Exercise 1: the chain rule for numbers."""


def chain_forward(x, w, b, t):
    """u = w x + b, then a = u^2, then L = (a - t)^2.

    x, w, b, t   numbers
    returns      (u, a, L), numbers
    """
    #: raise NotImplementedError
    u = w * x + b
    a = u**2
    return u, a, (a - t) ** 2


def chain_backward(x, w, b, t):
    """The derivatives of L.

    returns      (dx, dw, db, dt): dL/dx, dL/dw, dL/db, dL/dt, numbers
    """
    #: raise NotImplementedError
    u, a, _ = chain_forward(x, w, b, t)
    da = 2 * (a - t)  # the last link
    du = da * 2 * u  # times the square's own derivative
    dw = du * x  # u = w x + b: w has the factor x
    dx = du * w  # and x the factor w
    db = du
    dt = -2 * (a - t)  # t enters the last link directly
    return dx, dw, db, dt


if __name__ == "__main__":  # runs with: python ex01_chain_rule.py
    print(chain_forward(2.0, 3.0, -5.0, 3.0))
    print(chain_backward(2.0, 3.0, -5.0, 3.0))
