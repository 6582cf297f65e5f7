"""Losses and softmax, and the mistakes in their backward passes."""

import numpy as np

from .kinds import Bug, Operation

RIGHT = "p[np.arange(N), t] -= 1; dx = g * p / N    # p = softmax(x)"

BUGS = (
    Bug(
        "GB032", "no 1/N",
        "p[np.arange(N), t] -= 1; dx = g * p", RIGHT,
        "r = N in every entry, N what the forward pass averages over",
        "The loss is a mean, so its gradient carries the same 1/N as the forward pass.",
    ),
    Bug(
        "GB033", "1/N twice",
        "p[np.arange(N), t] -= 1; dx = g * p / N / N", RIGHT,
        "r = 1/N in every entry",
        "Divide by N once: here, or in the forward pass's last step, but not in both.",
    ),
    Bug(
        "GB034", "1/C",
        "p[np.arange(N), t] -= 1; dx = g * p / p.shape[1]", RIGHT,
        "r = N/C in every entry, C the number of classes",
        "The mean is taken over the N samples, not over the C classes: divide by p.shape[0].",
    ),
    Bug(
        "GB035", "no -1 at the label",
        "dx = g * p / N", RIGHT,
        "a - n = g/N at the labels, 0 elsewhere; rows of a sum to g/N instead of 0",
        "The gradient is softmax minus one-hot: subtract 1 at each sample's label.",
    ),
    Bug(
        "GB036", "-1 after the division",
        "dx = g * p / N; dx[np.arange(N), t] -= 1", RIGHT,
        "right but at the labels, where a - n = g/N - 1",
        "Subtract the 1 first and divide by N then: both p and the 1 belong to the mean.",
    ),
    Bug(
        "GB037", "-1 in every present label's column",
        "p[:, t] -= 1; dx = g * p / N", RIGHT,
        "a - n = -g/N in whole columns, those of the labels, but not at the labels themselves",
        "p[:, t] takes columns t of every row. Pair rows with labels: p[np.arange(N), t].",
    ),
    Bug(
        "GB038", "label off by one",
        "p[np.arange(N), t - 1] -= 1; dx = g * p / N", RIGHT,
        "two wrong entries a row: +g/N at the label, -g/N beside it",
        "Classes are counted from 0, and so are columns: use the label as it is.",
    ),
    Bug(
        "GB039", "softmax over the wrong axis",
        "e = np.exp(x); p = e / e.sum(axis=0)", "e = np.exp(x); p = e / e.sum(axis=1, keepdims=1)",
        "columns, not rows, of p sum to 1; rows of a do not sum to 0",
        "Each row is one sample: normalise along the classes, axis=1 with keepdims=True.",
    ),
    Bug(
        "GB040", "softmax twice",
        "p = softmax(softmax(x))", "p = softmax(x)",
        "N a/g + one-hot = softmax(softmax(x)): its values lie within a factor e of each other",
        "The loss takes logits and applies softmax itself: give it the scores, not probabilities.",
    ),
    Bug(
        "GB041", "diagonal of the Jacobian only",
        "dx = dy * y * (1 - y)", "dx = y * (dy - (dy * y).sum(axis=1, keepdims=True))",
        "right at the labels only, 0 in the other columns; rows of a do not sum to 0",
        "In softmax every output depends on every input: dy_i/dx_j = -y_i y_j off the diagonal.",
    ),
    Bug(
        "GB042", "no softmax Jacobian",
        "dx[np.arange(N), t] = -g / p[np.arange(N), t] / N", RIGHT,
        "a = -g/(N p) at the labels and 0 elsewhere",
        "-1/p is the gradient with respect to the probabilities. Carry it through softmax to the "
        "logits; the product is p - one-hot.",
    ),
    Bug(
        "GB043", "upstream ignored",
        "p[np.arange(N), t] -= 1; dx = p / N", RIGHT,
        "r = 1/g: right only for g = 1; bwd(2g) = bwd(g)",
        "Multiply by g, even though it is 1 when the loss is the last step: weights, sums of "
        "several losses and loss scaling all come in through g.",
    ),
)  # fmt: skip


def softmax_of(x, axis=1):
    """exp(x) over its sum, shifted by the maximum so that exp cannot overflow."""
    e = np.exp(x - x.real.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# ---- softmax cross-entropy -------------------------------------------------------------------


def cross_entropy_forward(input, target):
    """The mean over the rows of -log softmax(x)[target]: (N, C), (N) -> ()."""
    p = softmax_of(input)
    return -np.log(p[np.arange(len(p)), target]).mean()


def cross_entropy_backward(g, input, target):
    """dx = g (softmax(x) - one_hot(target)) / N."""
    n = len(input)
    p = softmax_of(input)
    p[np.arange(n), target] -= 1
    return g * p / n, None


def sample(rng):
    """N and C distinct, or equal now and then; at least two labels occur."""
    n, c = rng.permutation([3, 4, 5, 6])[:2]
    return _draw(rng, n, c if rng.random() < 0.8 else n)


def n_is_not_c(rng):
    """1/C in place of 1/N is seen only where they differ."""
    return _draw(rng, *rng.permutation([3, 4, 5, 6])[:2])


def _draw(rng, n, c):
    labels = rng.integers(0, c, n)
    labels[1] = (labels[0] + 1) % c
    return [rng.standard_normal((n, c)), labels], {}


def examples():
    return [([np.array([[1.0, 2, 0, 1], [3, 0, 1, 2], [0, 1, 1, 0]]), np.array([1, 0, 3])], {})]


cross_entropy = Operation(
    "softmax_cross_entropy", ("input", "target"), cross_entropy_forward, cross_entropy_backward,
    sample, examples,
)  # fmt: skip


@cross_entropy.mutant("GB032", "no 1/N")
def _(g, input, target):
    p = softmax_of(input)
    p[np.arange(len(p)), target] -= 1
    return g * p, None


@cross_entropy.mutant("GB033", "1/N twice")
def _(g, input, target):
    n = len(input)
    p = softmax_of(input)
    p[np.arange(n), target] -= 1
    return g * p / n / n, None


@cross_entropy.mutant("GB034", "1/C", sample=n_is_not_c)
def _(g, input, target):
    n, c = input.shape
    p = softmax_of(input)
    p[np.arange(n), target] -= 1
    return g * p / c, None


@cross_entropy.mutant("GB035", "no -1 at the label")
def _(g, input, target):
    return g * softmax_of(input) / len(input), None


@cross_entropy.mutant("GB036", "-1 after the division")
def _(g, input, target):
    n = len(input)
    dx = g * softmax_of(input) / n
    dx[np.arange(n), target] -= 1
    return dx, None


@cross_entropy.mutant("GB036", "-1 after the division, g last")
def _(g, input, target):
    n = len(input)
    dx = softmax_of(input) / n
    dx[np.arange(n), target] -= 1
    return g * dx, None


@cross_entropy.mutant("GB037", "-1 in whole columns")
def _(g, input, target):
    p = softmax_of(input)
    p[:, target] -= 1
    return g * p / len(p), None


@cross_entropy.mutant("GB038", "labels counted from 1")
def _(g, input, target):
    n = len(input)
    p = softmax_of(input)
    p[np.arange(n), target - 1] -= 1
    return g * p / n, None


@cross_entropy.mutant("GB038", "the class after the label")
def _(g, input, target):
    n, c = input.shape
    p = softmax_of(input)
    p[np.arange(n), (target + 1) % c] -= 1
    return g * p / n, None


@cross_entropy.mutant("GB039", "softmax over the batch")
def _(g, input, target):
    n = len(input)
    p = softmax_of(input, axis=0)
    p[np.arange(n), target] -= 1
    return g * p / n, None


@cross_entropy.mutant("GB040", "softmax twice")
def _(g, input, target):
    n = len(input)
    p = softmax_of(softmax_of(input))
    p[np.arange(n), target] -= 1
    return g * p / n, None


@cross_entropy.mutant("GB041", "diagonal of the Jacobian only")
def _(g, input, target):
    n, rows = len(input), np.arange(len(input))
    p = softmax_of(input)
    dp = np.zeros_like(p)
    dp[rows, target] = -g / p[rows, target] / n
    return dp * p * (1 - p), None


@cross_entropy.mutant("GB042", "no softmax Jacobian")
def _(g, input, target):
    n, rows = len(input), np.arange(len(input))
    p = softmax_of(input)
    dx = np.zeros_like(p)
    dx[rows, target] = -g / p[rows, target] / n
    return dx, None


@cross_entropy.mutant("GB043", "upstream ignored")
def _(g, input, target):
    n = len(input)
    p = softmax_of(input)
    p[np.arange(n), target] -= 1
    return p / n, None


@cross_entropy.mutant("GB002", "one-hot minus softmax")
def _(g, input, target):
    n, c = input.shape
    return g * (np.eye(c)[target] - softmax_of(input)) / n, None


@cross_entropy.mutant("GB009", "the logits are shifted in place")
def _(g, input, target):
    n = len(input)
    input -= input.max(axis=1, keepdims=True)
    p = np.exp(input) / np.exp(input).sum(axis=1, keepdims=True)
    p[np.arange(n), target] -= 1
    return g * p / n, None


def _summed(input, target):
    p = softmax_of(input)
    return -np.log(p[np.arange(len(p)), target]).sum()


@cross_entropy.mutant("GB014", "the sum for the mean, in both", forward=_summed)
def _(g, input, target):
    p = softmax_of(input)
    p[np.arange(len(p)), target] -= 1
    return g * p, None


# ---- softmax ---------------------------------------------------------------------------------


def softmax_forward(input, dim=1):
    """exp(x) over its sum along dim."""
    return softmax_of(input, dim)


def softmax_backward(g, input, dim=1):
    """dx = y (g - sum(g y))."""
    y = softmax_of(input, dim)
    return (y * (g - (g * y).sum(axis=dim, keepdims=True)),)


def softmax_sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[:2]
    return [rng.standard_normal(shape)], {"dim": 1}


def softmax_examples():
    return [([np.array([[1.0, 2, 0], [3, 0, 1]])], {"dim": 1})]


softmax = Operation(
    "softmax", ("input",), softmax_forward, softmax_backward, softmax_sample, softmax_examples
)


@softmax.mutant("GB041", "diagonal of the Jacobian only")
def _(g, input, dim=1):
    y = softmax_of(input, dim)
    return (g * y * (1 - y),)


@softmax.mutant("GB042", "no Jacobian")
def _(g, input, dim=1):
    return (g * softmax_of(input, dim),)


@softmax.mutant("GB039", "the sum over the wrong axis")
def _(g, input, dim=1):
    y = softmax_of(input, dim)
    return (y * (g - (g * y).sum(axis=1 - dim, keepdims=True)),)


@softmax.mutant("GB040", "softmax twice")
def _(g, input, dim=1):
    y = softmax_of(softmax_of(input, dim), dim)
    return (y * (g - (g * y).sum(axis=dim, keepdims=True)),)


# ---- mean squared error ----------------------------------------------------------------------


def mse_forward(input, target):
    """The mean of (x - t)^2 over all entries."""
    return ((input - target) ** 2).mean()


def mse_backward(g, input, target):
    """dx = 2 g (x - t) / size, and dt = -dx."""
    dx = 2 * g * (input - target) / input.size
    return dx, -dx


def mse_sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[:2]
    return [rng.standard_normal(shape), rng.standard_normal(shape)], {}


def mse_examples():
    return [([np.array([[1.0, 2, 0], [3, -1, 2]]), np.array([[0.0, 2, 1], [1, 1, 2]])], {})]


mse = Operation(
    "mse_loss", ("input", "target"), mse_forward, mse_backward, mse_sample, mse_examples
)


@mse.mutant("GB002", "target minus input")
def _(g, input, target):
    dx = 2 * g * (target - input) / input.size
    return dx, -dx


@mse.mutant("GB001", "upstream ignored")
def _(g, input, target):
    dx = 2 * (input - target) / input.size
    return dx, -dx


@mse.mutant("GB032", "not divided by the number of entries")
def _(g, input, target):
    dx = 2 * g * (input - target)
    return dx, -dx


@mse.mutant("GB033", "divided by the number of entries twice")
def _(g, input, target):
    dx = 2 * g * (input - target) / input.size / input.size
    return dx, -dx


OPERATIONS = (cross_entropy, softmax, mse)
