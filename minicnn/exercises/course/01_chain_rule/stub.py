"""Exercise 1: the chain rule for numbers."""


def chain_forward(x, w, b, t):
    """u = w x + b, then a = u^2, then L = (a - t)^2.

    x, w, b, t   numbers
    returns      (u, a, L), numbers
    """
    raise NotImplementedError


def chain_backward(x, w, b, t):
    """The derivatives of L.

    returns      (dx, dw, db, dt): dL/dx, dL/dw, dL/db, dL/dt, numbers
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex01_chain_rule.py
    print(chain_forward(2.0, 3.0, -5.0, 3.0))
    print(chain_backward(2.0, 3.0, -5.0, 3.0))
