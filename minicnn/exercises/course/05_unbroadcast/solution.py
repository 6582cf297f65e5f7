"""Exercise 5: un-broadcasting."""


def unbroadcast(g, shape):
    """g, summed where an array of this shape was stretched."""
    missing = g.ndim - len(shape)  # axes that the array did not have
    g = g.sum(axis=tuple(range(missing)))  # now as many axes as in shape
    stretched = tuple(i for i, size in enumerate(shape) if size == 1)
    return g.sum(axis=stretched, keepdims=True)


def add_backward(g, x, y):
    """(dx, dy) of x + y: the factor is 1."""
    return unbroadcast(g, x.shape), unbroadcast(g, y.shape)


def mul_backward(g, x, y):
    """(dx, dy) of x * y: the factor is the other operand, inside the sum."""
    return unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)
