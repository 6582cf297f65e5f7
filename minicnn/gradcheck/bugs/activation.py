"""Activations, and the mistakes in their backward passes."""

from functools import partial

import numpy as np

from .operation import Bug, Operation, in_one_buffer

BUGS = (
    Bug("GB021", "sigmoid x (1 - x)",
        "dx = g * x * (1 - x)", "dx = g * y * (1 - y)   # y = sigmoid(x)",
        "a/g = x (1 - x)",
        "The derivative y (1 - y) is written with the output y, not with the input x: keep y from "
        "the forward pass."),
    Bug("GB022", "sigmoid applied twice",
        "s = sigmoid(y); dx = g * s * (1 - s)", "dx = g * y * (1 - y)   # y = sigmoid(x)",
        "a/g = s (1 - s) with s = sigmoid(y), between 0.19 and 0.25 everywhere",
        "What was saved is the output already. Use it as it is, or apply sigmoid to the input."),
    Bug("GB023", "y without (1 - y)",
        "dx = g * y", "dx = g * y * (1 - y)   # y = sigmoid(x)",
        "a/g = y, so r = 1/(1 - y) = 1 + exp(x), which is never below 1",
        "Multiply by (1 - y) too: the derivative of 1/(1 + exp(-x)) is y (1 - y)."),
    Bug("GB024", "tanh 1 - x^2",
        "dx = g * (1 - x**2)", "dx = g * (1 - y**2)    # y = tanh(x)",
        "a/g = 1 - x^2, negative where |x| > 1; a derivative of tanh is never negative",
        "The derivative 1 - y^2 is written with the output y = tanh(x), not with the input x."),
    Bug("GB025", "tanh 1 - tanh(y)^2",
        "dx = g * (1 - np.tanh(y)**2)", "dx = g * (1 - y**2)    # y = tanh(x)",
        "a/g = 1 - tanh(y)^2, never below 0.42",
        "What was saved is the output already: tanh has been applied. Use 1 - y^2, or "
        "1 - tanh(x)^2."),
    Bug("GB026", "tanh y (1 - y)",
        "dx = g * y * (1 - y)", "dx = g * (1 - y**2)    # y = tanh(x)",
        "a/g = y (1 - y), negative where x < 0",
        "y (1 - y) is sigmoid's derivative; tanh's is 1 - y^2 = (1 - y)(1 + y)."),
    Bug("GB027", "scaled tanh: a factor lost",
        "dx = g * A * (1 - (y / A)**2)", "dx = g * A * S * (1 - (y / A)**2)   # y = A tanh(S x)",
        "S lost: r = 1/S = 3/2; A lost: r = 1/A = 0.583; not rescaled: a/g = A S (1 - y^2)",
        "By the chain rule A tanh(S x) has the derivative A S (1 - tanh(S x)^2), and tanh(S x) "
        "is y/A."),
    Bug("GB028", "ReLU masks g, not x",
        "dx = g * (g > 0)", "dx = g * (x > 0)",
        "a = max(g, 0): 0 where g < 0, though x > 0, and g where x < 0, though n = 0",
        "The mask is where the input was positive. (Masking g as well is another rule, guided "
        "backpropagation, and no gradient.)"),
    Bug("GB029", "ReLU without mask",
        "dx = g", "dx = g * (x > 0)",
        "a = g everywhere; right where x > 0, and g instead of 0 where x < 0",
        "Where x < 0 the output is constant, so nothing flows back: multiply by (x > 0)."),
    Bug("GB030", "ReLU times the value",
        "dx = g * np.maximum(x, 0)", "dx = g * (x > 0)",
        "r = x where x > 0: right zeros, wrong values",
        "The slope of ReLU is 1 where x > 0, not x: multiply by the mask, not by the output."),
    Bug("GB031", "at the kink: not a bug",
        "assert dx[x == 0] == g / 2   # what central differences say",
        "dx = g * (x > 0)             # 0 at x = 0, as PyTorch",
        "n = g/2 where x = 0 exactly: the mean of the slopes 0 and g on either side",
        "Nothing to change: at the kink every value between the two slopes is right. Compare with "
        "one-sided differences there, or move the input off the kink.",
        mistake=False),
)  # fmt: skip


def sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[: rng.integers(2, 4)]
    return [rng.normal(0, 1.5, shape)], {}


EXAMPLES: list = [([np.array([[1.0, 2, -1], [0.5, -2, 3]])], {})]


# ---- sigmoid ---------------------------------------------------------------------------------


def sigmoid_forward(input):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-input))


sigmoid = Operation(
    "sigmoid", ("input",), sigmoid_forward, {"dx": lambda g, x, y: g * y * (1 - y)}, sample,
    EXAMPLES, saved=lambda input: (input, sigmoid_forward(input)),
)  # fmt: skip


def sigmoid_of_y(g, x, y):
    s = sigmoid_forward(y)
    return g * s * (1 - s)


def overwritten(g, x, y):
    x[...] = y
    return g * x * (1 - x)


sigmoid.wrong("GB021", "x in place of y", dx=lambda g, x, y: g * x * (1 - x))
sigmoid.wrong("GB022", "sigmoid applied twice", dx=sigmoid_of_y)
sigmoid.wrong("GB023", "without (1 - y)", dx=lambda g, x, y: g * y)
sigmoid.wrong("GB001", "ignores g", dx=lambda g, x, y: y * (1 - y))
sigmoid.wrong("GB002", "(y - 1) for (1 - y)", dx=lambda g, x, y: g * y * (y - 1))
sigmoid.wrong(
    "GB008", "one buffer for all calls", dx=in_one_buffer(lambda g, x, y: g * (y * (1 - y)))
)
sigmoid.wrong("GB009", "the input becomes the output", dx=overwritten)
sigmoid.wrong("GB013", "float32 for speed", dx=lambda g, x, y: np.float32(g * y * (1 - y)))
sigmoid.wrong(
    "GB014", "exp(x) for exp(-x), in both", forward=lambda x: sigmoid_forward(-x),
    saved=lambda x: (x, sigmoid_forward(-x)), dx=lambda g, x, y: -g * y * (1 - y),
)  # fmt: skip


# ---- tanh ------------------------------------------------------------------------------------


tanh = Operation(
    "tanh", ("input",), lambda input: np.tanh(input), {"dx": lambda g, x, y: g * (1 - y**2)},
    sample, EXAMPLES, saved=lambda input: (input, np.tanh(input)),
)  # fmt: skip
tanh.wrong("GB024", "x in place of y", dx=lambda g, x, y: g * (1 - x**2))
tanh.wrong("GB025", "tanh applied twice", dx=lambda g, x, y: g * (1 - np.tanh(y) ** 2))
tanh.wrong("GB026", "sigmoid's derivative", dx=lambda g, x, y: g * y * (1 - y))
tanh.wrong("GB001", "ignores g", dx=lambda g, x, y: 1 - y**2)
tanh.wrong("GB002", "y^2 - 1 for 1 - y^2", dx=lambda g, x, y: g * (y**2 - 1))


# ---- scaled tanh -----------------------------------------------------------------------------


def scaled_tanh_forward(input, amplitude=1.7159, slope=2 / 3):
    """A tanh(S x), with the constants of LeNet."""
    return amplitude * np.tanh(slope * input)


def scaled_tanh_saved(input, amplitude=1.7159, slope=2 / 3, forward=scaled_tanh_forward):
    return input, forward(input, amplitude, slope), amplitude, slope


def unscaled(input, amplitude=1.7159, slope=2 / 3):
    return amplitude * np.tanh(input)


scaled_tanh = Operation(
    "scaled_tanh", ("input",), scaled_tanh_forward,
    {"dx": lambda g, x, y, a, s: g * a * s * (1 - (y / a) ** 2)}, sample, EXAMPLES,
    saved=scaled_tanh_saved,
)  # fmt: skip
scaled_tanh.wrong("GB027", "S lost", dx=lambda g, x, y, a, s: g * a * (1 - (y / a) ** 2))
scaled_tanh.wrong("GB027", "A lost", dx=lambda g, x, y, a, s: g * s * (1 - (y / a) ** 2))
scaled_tanh.wrong("GB027", "1 - y^2 not rescaled", dx=lambda g, x, y, a, s: g * a * s * (1 - y**2))
scaled_tanh.wrong("GB024", "x in place of y/A", dx=lambda g, x, y, a, s: g * a * s * (1 - x**2))
scaled_tanh.wrong("GB001", "ignores g", dx=lambda g, x, y, a, s: a * s * (1 - (y / a) ** 2))
scaled_tanh.wrong(
    "GB014", "S forgotten in both", forward=unscaled,
    saved=partial(scaled_tanh_saved, forward=unscaled),
    dx=lambda g, x, y, a, s: g * a * (1 - (y / a) ** 2),
)  # fmt: skip


# ---- ReLU and leaky ReLU ---------------------------------------------------------------------


def off_the_kink(rng):
    """Values of both signs, none near 0, as is their product with what lies upstream."""
    (x,), params = sample(rng)
    x = np.sign(x) * (0.1 + abs(x))
    x.flat[0], x.flat[1] = -abs(x.flat[0]), abs(x.flat[1])
    return [x], params


def masked_in_place(g, x):
    g[x <= 0] = 0
    return g


relu = Operation(  # .real: the complex step passes through
    "relu", ("input",), lambda input: input * (input.real > 0), {"dx": lambda g, x: g * (x > 0)},
    off_the_kink, EXAMPLES,
)  # fmt: skip
relu.wrong("GB028", "masks g", dx=lambda g, x: g * (g > 0))
relu.wrong("GB029", "no mask", dx=lambda g, x: g)
relu.wrong("GB030", "times the value", dx=lambda g, x: g * np.maximum(x, 0))
relu.wrong("GB001", "the mask alone", dx=lambda g, x: (x > 0).astype(x.dtype))
relu.wrong("GB009", "writes the zeros into g", dx=masked_in_place)


def leaky_sample(rng):
    inputs, _ = off_the_kink(rng)
    return inputs, {"negative_slope": float(rng.uniform(0.05, 0.4))}


leaky_relu = Operation(
    "leaky_relu", ("input",),
    lambda input, negative_slope=0.01: np.where(input.real > 0, input, negative_slope * input),
    {"dx": lambda g, x, slope: np.where(x > 0, g, slope * g)}, leaky_sample,
    [(EXAMPLES[0][0], {"negative_slope": 0.1})],
)  # fmt: skip
leaky_relu.wrong("GB028", "masks g", dx=lambda g, x, slope: np.where(g > 0, g, slope * g))
leaky_relu.wrong("GB029", "no mask", dx=lambda g, x, slope: g)
leaky_relu.wrong(
    "GB030", "times the value", dx=lambda g, x, slope: g * np.where(x > 0, x, slope * x)
)

OPERATIONS = (sigmoid, tanh, scaled_tanh, relu, leaky_relu)
