"""Exercise 3: a number that remembers how it was made."""

import math


class Value:
    """A number with its gradient and its parents.

    data      the number, a float
    grad      dL/d(this), a float; backward adds to it
    parents   pairs (Value, local derivative): what it was made of
    """

    def __init__(self, data, parents=()):
        self.data = float(data)
        self.grad = 0.0
        self.parents = tuple(parents)

    def __add__(self, other):
        other = as_value(other)
        #: # return Value(..., [(self, ...), (other, ...)])
        #: raise NotImplementedError
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        other = as_value(other)
        #: raise NotImplementedError
        parents = [(self, other.data), (other, self.data)]  # the other one
        return Value(self.data * other.data, parents)

    def __pow__(self, n):
        """To the power of n, a plain number."""
        #: raise NotImplementedError
        return Value(self.data**n, [(self, n * self.data ** (n - 1))])

    def tanh(self):
        """The hyperbolic tangent, math.tanh."""
        #: raise NotImplementedError
        y = math.tanh(self.data)
        return Value(y, [(self, 1 - y * y)])

    def backward(self, g=1.0):
        """Adds g to grad, and hands each parent its share of g."""
        #: raise NotImplementedError
        self.grad += g  # over all paths: add
        for parent, local in self.parents:
            parent.backward(g * local)  # along one path: multiply

    # The rest is made of the five above.

    def __repr__(self):
        return f"Value({self.data:g}, grad={self.grad:g})"

    def __radd__(self, other):  # 1 + a
        return self + other

    def __rmul__(self, other):  # 2 * a
        return self * other

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -as_value(other)

    def __rsub__(self, other):
        return other + -self


def as_value(number):
    """A plain number as a Value; a Value as it is."""
    return number if isinstance(number, Value) else Value(number)


if __name__ == "__main__":  # runs with: python ex03_value.py
    a, b = Value(2.0), Value(-3.0)
    L = a * b + a
    L.backward()
    print(a, b, L, math.tanh(0.5))
