"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

PRODUCT = "[(self, other.data), (other, self.data)]"

MUTANTS = [
    Mutant("value", "self.data + other.data", "self.data - other.data"),
    Mutant("value", "(self, 1.0), (other, 1.0)", "(self, 1.0), (other, 2.0)"),
    Mutant("type", "return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])",
           "return self.data + other.data"),
    Mutant("GB079", PRODUCT, "[(self, self.data), (other, other.data)]",
           "the product uses its own operand", "__mul__: ∂(a·b)/∂a is b, and ∂(a·b)/∂b is a"),
    Mutant("power-not-lowered", "n * self.data ** (n - 1)", "n * self.data**n",
           "the exponent is not lowered by one", "__pow__: n·a^(n−1)"),
    Mutant("factor-n", "n * self.data ** (n - 1)", "self.data ** (n - 1)",
           "the factor n is missing", "__pow__: n·a^(n−1)"),
    Mutant("GB024", "1 - y * y", "1 - self.data**2",
           "tanh: 1 − x² in place of 1 − y²", "tanh: y is the result"),
    Mutant("GB025", "1 - y * y", "1 - math.tanh(y) ** 2",
           "tanh: applied twice", "tanh: 1 − y², not tanh of y"),
    Mutant("GB026", "1 - y * y", "y * (1 - y)",
           "tanh: the derivative of the sigmoid", "tanh: 1 − y²"),
    Mutant("GB002", "1 - y * y", "y * y - 1", "tanh: the wrong sign", "tanh: 1 − y²"),
    Mutant("GB001", "parent.backward(g * local)", "parent.backward(local)",
           "backward does not multiply by g", "backward: hand on g · local, not local"),
    Mutant("g-not-handed-on", "parent.backward(g * local)", "parent.grad += g * local",
           "backward stops after the first operation", "backward: call it for every parent"),
    Mutant("GB004", "self.grad += g", "self.grad = g",
           "one path's gradient replaces the other's", "backward: self.grad += g"),
    Mutant("error", "        other = as_value(other)\n        parents", "        parents"),
    Mutant("error", "parent.backward(g * local)", "parent.backwards(g * local)"),
    Mutant("library", "y = math.tanh(self.data)",
           "import minicnn; y = minicnn.tensor(self.data).tanh().item()"),
]  # fmt: skip
