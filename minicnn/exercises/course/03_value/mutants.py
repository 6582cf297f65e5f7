"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

PRODUCT = "[(self, other.data), (other, self.data)]"

MUTANTS = [
    Mutant("value", "self.data + other.data", "self.data - other.data"),
    Mutant("value", "(self, 1.0), (other, 1.0)", "(self, 1.0), (other, 2.0)"),
    Mutant("type", "return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])",
           "return self.data + other.data"),
    Mutant("GB079", PRODUCT, "[(self, self.data), (other, other.data)]"),
    Mutant("power-not-lowered", "n * self.data ** (n - 1)", "n * self.data**n"),
    Mutant("factor-n", "n * self.data ** (n - 1)", "self.data ** (n - 1)"),
    Mutant("GB024", "1 - y * y", "1 - self.data**2"),
    Mutant("GB025", "1 - y * y", "1 - math.tanh(y) ** 2"),
    Mutant("GB026", "1 - y * y", "y * (1 - y)"),
    Mutant("GB002", "1 - y * y", "y * y - 1"),
    Mutant("GB001", "parent.backward(g * local)", "parent.backward(local)"),
    Mutant("g-not-handed-on", "parent.backward(g * local)", "parent.grad += g * local"),
    Mutant("GB004", "self.grad += g", "self.grad = g"),
    Mutant("error", "        other = as_value(other)\n        parents", "        parents"),
    Mutant("error", "parent.backward(g * local)", "parent.backwards(g * local)"),
    Mutant("library", "y = math.tanh(self.data)",
           "import minicnn; y = minicnn.tensor(self.data).tanh().item()"),
]  # fmt: skip
