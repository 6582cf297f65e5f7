"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, from_catalogue

SIGMOID = "np.where(x >= 0, 1, e) / (1 + e)"
SCALED = "return amplitude * np.tanh(slope * x)"

BY_LIBRARY = """
from minicnn.kernels import reference
def sigmoid_backward(g, x):
    return reference.sigmoid_backward(g, reference.sigmoid(x)[1], (True,))[0]
"""

BY_DIFFERENCES = """
def tanh_backward(g, x, h=1e-5):
    return g * (tanh_forward(x + h) - tanh_forward(x - h)) / (2 * h)
"""

BY_COMPLEX_STEP = """
def tanh_backward(g, x):
    return g * tanh_forward(x + 1e-30j).imag / 1e-30
"""

MUTANTS = [
    Mutant("overflow", SIGMOID, "1 / (1 + np.exp(-x))"),
    Mutant("overflow", SIGMOID, "np.exp(x) / (1 + np.exp(x))"),
    Mutant("overflow", SIGMOID,
           "np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))"),
    Mutant("overflow", "return np.tanh(x)",
           "return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))"),
    Mutant("GB014", SIGMOID, "np.where(x >= 0, e, 1) / (1 + e)",
           "a falling curve, that of sigmoid(−x)",
           "the sign in the exponent, and which case is for x ≥ 0"),
    Mutant("value", SIGMOID, "1 / (1 + e)"),
    Mutant("value", "return np.tanh(x)", "return 1 - 1 / (1 + np.exp(x))"),
    Mutant("type", "return np.tanh(x)", "np.tanh(x)"),
    Mutant("constants-fixed", SCALED, "return 1.7159 * np.tanh(2 / 3 * x)",
           "amplitude and slope are not used as given", "the parameters, not their default values"),
    Mutant("slope-missing", SCALED, "return amplitude * np.tanh(x)", "S is missing", "A tanh(S x)"),
    Mutant("amplitude-missing", SCALED, "return np.tanh(slope * x)", "A is missing",
           "A tanh(S x)"),
    Mutant("slope-outside", SCALED, "return amplitude * slope * np.tanh(x)", "S outside of tanh",
           "A tanh(S x)"),
    Mutant("GB027", "t = y / amplitude", "t = y"),
    Mutant("library", new=BY_LIBRARY),
    Mutant("differences", new=BY_DIFFERENCES),
    Mutant("differences", new=BY_COMPLEX_STEP),
    *from_catalogue("sigmoid", "sigmoid_backward"),
    *from_catalogue("tanh", "tanh_backward"),
    *from_catalogue("scaled_tanh", "scaled_tanh_backward"),
]  # fmt: skip
