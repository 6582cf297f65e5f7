"""Activations, and the mistakes in their backward passes."""

import numpy as np

from .kinds import Bug, Operation

BUGS = (
    Bug(
        "GB021", "sigmoid x (1 - x)",
        "dx = g * x * (1 - x)", "dx = g * y * (1 - y)   # y = sigmoid(x)",
        "a/g = x (1 - x)",
        "The derivative y (1 - y) is written with the output y, not with the input x: keep y from "
        "the forward pass.",
    ),
    Bug(
        "GB022", "sigmoid applied twice",
        "s = sigmoid(y); dx = g * s * (1 - s)", "dx = g * y * (1 - y)   # y = sigmoid(x)",
        "a/g = s (1 - s) with s = sigmoid(y), between 0.19 and 0.25 everywhere",
        "What was saved is the output already. Use it as it is, or apply sigmoid to the input.",
    ),
    Bug(
        "GB023", "y without (1 - y)",
        "dx = g * y", "dx = g * y * (1 - y)   # y = sigmoid(x)",
        "a/g = y, so r = 1/(1 - y) = 1 + exp(x), which is never below 1",
        "Multiply by (1 - y) too: the derivative of 1/(1 + exp(-x)) is y (1 - y).",
    ),
    Bug(
        "GB024", "tanh 1 - x^2",
        "dx = g * (1 - x**2)", "dx = g * (1 - y**2)    # y = tanh(x)",
        "a/g = 1 - x^2, negative where |x| > 1; a derivative of tanh is never negative",
        "The derivative 1 - y^2 is written with the output y = tanh(x), not with the input x.",
    ),
    Bug(
        "GB025", "tanh 1 - tanh(y)^2",
        "dx = g * (1 - np.tanh(y)**2)", "dx = g * (1 - y**2)    # y = tanh(x)",
        "a/g = 1 - tanh(y)^2, never below 0.42",
        "What was saved is the output already: tanh has been applied. Use 1 - y^2, or "
        "1 - tanh(x)^2.",
    ),
    Bug(
        "GB026", "tanh y (1 - y)",
        "dx = g * y * (1 - y)", "dx = g * (1 - y**2)    # y = tanh(x)",
        "a/g = y (1 - y), negative where x < 0",
        "y (1 - y) is sigmoid's derivative; tanh's is 1 - y^2 = (1 - y)(1 + y).",
    ),
    Bug(
        "GB027", "scaled tanh: a factor lost",
        "dx = g * A * (1 - (y / A)**2)", "dx = g * A * S * (1 - (y / A)**2)   # y = A tanh(S x)",
        "S lost: r = 1/S = 3/2; A lost: r = 1/A = 0.583; not rescaled: a/g = A S (1 - y^2)",
        "By the chain rule A tanh(S x) has the derivative A S (1 - tanh(S x)^2), and tanh(S x) "
        "is y/A.",
    ),
    Bug(
        "GB028", "ReLU masks g, not x",
        "dx = g * (g > 0)", "dx = g * (x > 0)",
        "a = max(g, 0): 0 where g < 0, though x > 0, and g where x < 0, though n = 0",
        "The mask is where the input was positive. (Masking g as well is another rule, guided "
        "backpropagation, and no gradient.)",
    ),
    Bug(
        "GB029", "ReLU without mask",
        "dx = g", "dx = g * (x > 0)",
        "a = g everywhere; right where x > 0, and g instead of 0 where x < 0",
        "Where x < 0 the output is constant, so nothing flows back: multiply by (x > 0).",
    ),
    Bug(
        "GB030", "ReLU times the value",
        "dx = g * np.maximum(x, 0)", "dx = g * (x > 0)",
        "r = x where x > 0: right zeros, wrong values",
        "The slope of ReLU is 1 where x > 0, not x: multiply by the mask, not by the output.",
    ),
    Bug(
        "GB031", "at the kink: not a bug",
        "assert dx[x == 0] == g / 2   # what central differences say",
        "dx = g * (x > 0)             # 0 at x = 0, as PyTorch",
        "n = g/2 where x = 0 exactly: the mean of the slopes 0 and g on either side",
        "Nothing to change: at the kink every value between the two slopes is right. Compare with "
        "one-sided differences there, or move the input off the kink.",
        mistake=False,
    ),
)  # fmt: skip


def sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[: rng.integers(2, 4)]
    return [rng.normal(0, 1.5, shape)], {}


def examples():
    return [([np.array([[1.0, 2, -1], [0.5, -2, 3]])], {})]


# ---- sigmoid ---------------------------------------------------------------------------------


def sigmoid_forward(input):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-input))


def sigmoid_backward(g, input):
    """y' = y (1 - y)."""
    y = sigmoid_forward(input)
    return (g * y * (1 - y),)


sigmoid = Operation("sigmoid", ("input",), sigmoid_forward, sigmoid_backward, sample, examples)


@sigmoid.mutant("GB021", "x in place of y")
def _(g, input):
    return (g * input * (1 - input),)


@sigmoid.mutant("GB022", "sigmoid applied twice")
def _(g, input):
    y = sigmoid_forward(input)
    s = sigmoid_forward(y)
    return (g * s * (1 - s),)


@sigmoid.mutant("GB023", "without (1 - y)")
def _(g, input):
    y = sigmoid_forward(input)
    return (g * y,)


@sigmoid.mutant("GB001", "ignores g")
def _(g, input):
    y = sigmoid_forward(input)
    return (y * (1 - y),)


@sigmoid.mutant("GB002", "(y - 1) for (1 - y)")
def _(g, input):
    y = sigmoid_forward(input)
    return (g * y * (y - 1),)


BUFFERS: dict = {}  # what GB008 hands out again and again


@sigmoid.mutant("GB008", "one buffer for all calls")
def _(g, input):
    y = sigmoid_forward(input)
    dx = BUFFERS.setdefault(input.shape, np.empty(input.shape))
    np.multiply(g, y * (1 - y), out=dx)
    return (dx,)


@sigmoid.mutant("GB009", "the input becomes the output")
def _(g, input):
    np.negative(input, out=input)
    np.exp(input, out=input)
    y = 1 / (1 + input)
    return (g * y * (1 - y),)


@sigmoid.mutant("GB013", "float32 for speed")
def _(g, input):
    y = sigmoid_forward(input.astype(np.float32))
    return (g.astype(np.float32) * y * (1 - y),)


def _falling(input):
    return 1 / (1 + np.exp(input))


@sigmoid.mutant("GB014", "exp(x) for exp(-x), in both", forward=_falling)
def _(g, input):
    y = _falling(input)
    return (-g * y * (1 - y),)


# ---- tanh ------------------------------------------------------------------------------------


def tanh_backward(g, input):
    """y' = 1 - y^2."""
    y = np.tanh(input)
    return (g * (1 - y**2),)


def tanh_forward(input):
    """The hyperbolic tangent."""
    return np.tanh(input)


tanh = Operation("tanh", ("input",), tanh_forward, tanh_backward, sample, examples)


@tanh.mutant("GB024", "x in place of y")
def _(g, input):
    return (g * (1 - input**2),)


@tanh.mutant("GB025", "tanh applied twice")
def _(g, input):
    y = np.tanh(input)
    return (g * (1 - np.tanh(y) ** 2),)


@tanh.mutant("GB026", "sigmoid's derivative")
def _(g, input):
    y = np.tanh(input)
    return (g * y * (1 - y),)


@tanh.mutant("GB001", "ignores g")
def _(g, input):
    return (1 - np.tanh(input) ** 2,)


@tanh.mutant("GB002", "y^2 - 1 for 1 - y^2")
def _(g, input):
    y = np.tanh(input)
    return (g * (y**2 - 1),)


# ---- scaled tanh -----------------------------------------------------------------------------


def scaled_tanh_forward(input, amplitude=1.7159, slope=2 / 3):
    """A tanh(S x), with the constants of LeNet."""
    return amplitude * np.tanh(slope * input)


def scaled_tanh_backward(g, input, amplitude=1.7159, slope=2 / 3):
    """y' = A S (1 - (y/A)^2)."""
    y = scaled_tanh_forward(input, amplitude, slope)
    return (g * amplitude * slope * (1 - (y / amplitude) ** 2),)


scaled_tanh = Operation(
    "scaled_tanh", ("input",), scaled_tanh_forward, scaled_tanh_backward, sample, examples
)


@scaled_tanh.mutant("GB027", "S lost")
def _(g, input, amplitude=1.7159, slope=2 / 3):
    y = scaled_tanh_forward(input, amplitude, slope)
    return (g * amplitude * (1 - (y / amplitude) ** 2),)


@scaled_tanh.mutant("GB027", "A lost")
def _(g, input, amplitude=1.7159, slope=2 / 3):
    y = scaled_tanh_forward(input, amplitude, slope)
    return (g * slope * (1 - (y / amplitude) ** 2),)


@scaled_tanh.mutant("GB027", "1 - y^2 not rescaled")
def _(g, input, amplitude=1.7159, slope=2 / 3):
    y = scaled_tanh_forward(input, amplitude, slope)
    return (g * amplitude * slope * (1 - y**2),)


@scaled_tanh.mutant("GB024", "x in place of y/A")
def _(g, input, amplitude=1.7159, slope=2 / 3):
    return (g * amplitude * slope * (1 - input**2),)


@scaled_tanh.mutant("GB001", "ignores g")
def _(g, input, amplitude=1.7159, slope=2 / 3):
    y = scaled_tanh_forward(input, amplitude, slope)
    return (amplitude * slope * (1 - (y / amplitude) ** 2),)


def _unscaled(input, amplitude=1.7159, slope=2 / 3):
    return amplitude * np.tanh(input)


@scaled_tanh.mutant("GB014", "S forgotten in both", forward=_unscaled)
def _(g, input, amplitude=1.7159, slope=2 / 3):
    y = _unscaled(input, amplitude, slope)
    return (g * amplitude * (1 - (y / amplitude) ** 2),)


# ---- ReLU and leaky ReLU ---------------------------------------------------------------------


def off_the_kink(rng):
    """Values of both signs, none near 0, as is their product with what lies upstream."""
    (x,), params = sample(rng)
    x = np.sign(x) * (0.1 + abs(x))
    x.flat[0], x.flat[1] = -abs(x.flat[0]), abs(x.flat[1])
    return [x], params


def relu_forward(input):
    """max(x, 0)."""
    return input * (input.real > 0)  # .real: the complex step passes through


def relu_backward(g, input):
    """g where x > 0, else 0."""
    return (g * (input > 0),)


relu = Operation("relu", ("input",), relu_forward, relu_backward, off_the_kink, examples)


@relu.mutant("GB028", "masks g")
def _(g, input):
    return (g * (g > 0),)


@relu.mutant("GB029", "no mask")
def _(g, input):
    return (g,)


@relu.mutant("GB030", "times the value")
def _(g, input):
    return (g * np.maximum(input, 0),)


@relu.mutant("GB001", "the mask alone")
def _(g, input):
    return ((input > 0).astype(input.dtype),)


@relu.mutant("GB009", "writes the zeros into g")
def _(g, input):
    g[input <= 0] = 0
    return (g,)


def leaky_relu_forward(input, negative_slope=0.01):
    """x where x > 0, else the slope times x."""
    return np.where(input.real > 0, input, negative_slope * input)


def leaky_relu_backward(g, input, negative_slope=0.01):
    """g where x > 0, else the slope times g."""
    return (np.where(input > 0, g, negative_slope * g),)


def leaky_sample(rng):
    inputs, _ = off_the_kink(rng)
    return inputs, {"negative_slope": float(rng.uniform(0.05, 0.4))}


def leaky_examples():
    return [(inputs, {"negative_slope": 0.1}) for inputs, _ in examples()]


leaky_relu = Operation(
    "leaky_relu", ("input",), leaky_relu_forward, leaky_relu_backward, leaky_sample, leaky_examples
)


@leaky_relu.mutant("GB028", "masks g")
def _(g, input, negative_slope=0.01):
    return (np.where(g > 0, g, negative_slope * g),)


@leaky_relu.mutant("GB029", "no mask")
def _(g, input, negative_slope=0.01):
    return (g,)


@leaky_relu.mutant("GB030", "times the value")
def _(g, input, negative_slope=0.01):
    return (g * np.where(input > 0, input, negative_slope * input),)


OPERATIONS = (sigmoid, tanh, scaled_tanh, relu, leaky_relu)
