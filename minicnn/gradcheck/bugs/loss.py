"""Losses and softmax, and the mistakes in their backward passes."""

import numpy as np

from .operation import Bug, Operation, normal, one_of

RIGHT = "p[np.arange(N), t] -= 1; dx = g * p / N    # p = softmax(x)"

BUGS = (
    Bug("GB032", "no 1/N",
        "p[np.arange(N), t] -= 1; dx = g * p", RIGHT,
        "r = N in every entry, N what the forward pass averages over",
        "The loss is a mean, so its gradient carries the same 1/N as the forward pass."),
    Bug("GB033", "1/N twice",
        "p[np.arange(N), t] -= 1; dx = g * p / N / N", RIGHT,
        "r = 1/N in every entry",
        "Divide by N once: here, or in the forward pass's last step, but not in both."),
    Bug("GB034", "1/C",
        "p[np.arange(N), t] -= 1; dx = g * p / p.shape[1]", RIGHT,
        "r = N/C in every entry, C the number of classes",
        "The mean is taken over the N samples, not over the C classes: divide by p.shape[0]."),
    Bug("GB035", "no -1 at the label",
        "dx = g * p / N", RIGHT,
        "a - n = g/N at the labels, 0 elsewhere; rows of a sum to g/N instead of 0",
        "The gradient is softmax minus one-hot: subtract 1 at each sample's label."),
    Bug("GB036", "-1 after the division",
        "dx = g * p / N; dx[np.arange(N), t] -= 1", RIGHT,
        "right but at the labels, where a - n = g/N - 1",
        "Subtract the 1 first and divide by N then: both p and the 1 belong to the mean."),
    Bug("GB037", "-1 in every present label's column",
        "p[:, t] -= 1; dx = g * p / N", RIGHT,
        "a - n = -g/N in whole columns, those of the labels, but not at the labels themselves",
        "p[:, t] takes columns t of every row. Pair rows with labels: p[np.arange(N), t]."),
    Bug("GB038", "label off by one",
        "p[np.arange(N), t - 1] -= 1; dx = g * p / N", RIGHT,
        "two wrong entries a row: +g/N at the label, -g/N beside it",
        "Classes are counted from 0, and so are columns: use the label as it is."),
    Bug("GB039", "softmax over the wrong axis",
        "e = np.exp(x); p = e / e.sum(axis=0)", "e = np.exp(x); p = e / e.sum(axis=1, keepdims=1)",
        "columns, not rows, of p sum to 1; rows of a do not sum to 0",
        "Each row is one sample: normalise along the classes, axis=1 with keepdims=True."),
    Bug("GB040", "softmax twice",
        "p = softmax(softmax(x))", "p = softmax(x)",
        "N a/g + one-hot = softmax(softmax(x)): its values lie within a factor e of each other",
        "The loss takes logits and applies softmax itself: give it the scores, not probabilities."),
    Bug("GB041", "diagonal of the Jacobian only",
        "dx = dy * y * (1 - y)", "dx = y * (dy - (dy * y).sum(axis=1, keepdims=True))",
        "right at the labels only, 0 in the other columns; rows of a do not sum to 0",
        "In softmax every output depends on every input: dy_i/dx_j = -y_i y_j off the diagonal."),
    Bug("GB042", "no softmax Jacobian",
        "dx[np.arange(N), t] = -g / p[np.arange(N), t] / N", RIGHT,
        "a = -g/(N p) at the labels and 0 elsewhere",
        "-1/p is the gradient with respect to the probabilities. Carry it through softmax to the "
        "logits; the product is p - one-hot."),
    Bug("GB043", "upstream ignored",
        "p[np.arange(N), t] -= 1; dx = p / N", RIGHT,
        "r = 1/g: right only for g = 1; bwd(2g) = bwd(g)",
        "Multiply by g, even though it is 1 when the loss is the last step: weights, sums of "
        "several losses and loss scaling all come in through g."),
)  # fmt: skip


def softmax_of(input, dim=1):
    """exp(x) over its sum, shifted by the maximum so that exp cannot overflow."""
    e = np.exp(input - input.real.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


# ---- softmax cross-entropy -------------------------------------------------------------------


def log_likelihood(input, target):
    """log softmax(x)[target] of each row: (N, C), (N) -> (N)."""
    p = softmax_of(input)
    return np.log(p[np.arange(len(p)), target])


def minus_one(p, rows, t):
    """1 subtracted at each row's label: softmax - one_hot."""
    p[rows, t] -= 1
    return p


def of_logits(g, p, rows, t):
    """dx = g (softmax - one_hot) / N."""
    return g * minus_one(p, rows, t) / len(p)


def labelled(family):
    """With labels, of which at least two are different."""

    def drawn(rng):
        (x,), params = family(rng)
        labels = rng.integers(0, x.shape[1], len(x))
        labels[1] = (labels[0] + 1) % x.shape[1]
        return [x, labels], params

    return drawn


n_is_not_c = labelled(normal("nc", sizes=(3, 4, 5, 6)))  # so that 1/C is not 1/N
n_is_c = labelled(normal("nn", sizes=(3, 4, 5, 6)))
LOGITS = np.array([[1.0, 2, 0, 1], [3, 0, 1, 2], [0, 1, 1, 0]])


def with_labels(p, target):
    return p, np.arange(len(p)), target


cross_entropy = Operation(
    "softmax_cross_entropy", ("input", "target"),
    lambda input, target: -log_likelihood(input, target).mean(),
    {"dx": of_logits}, one_of(n_is_not_c, n_is_not_c, n_is_not_c, n_is_c),
    [([LOGITS, np.array([1, 0, 3])], {})],
    saved=lambda input, target: with_labels(softmax_of(input), target),
)  # fmt: skip


def of_probabilities(g, p, rows, t):
    """The gradient with respect to p."""
    dp = np.zeros_like(p)
    dp[rows, t] = -g / p[rows, t] / len(p)
    return dp


def shifted_in_place(input, target):
    input -= input.max(axis=1, keepdims=True)
    return with_labels(softmax_of(input), target)


wrong = cross_entropy.wrong
wrong("GB032", "no 1/N", dx=lambda g, p, *at: g * minus_one(p, *at))
wrong("GB033", "1/N twice", dx=lambda g, p, *at: of_logits(g, p, *at) / len(p))
wrong(
    "GB034", "1/C", sample=n_is_not_c,
    dx=lambda g, p, *at: g * minus_one(p, *at) / p.shape[1],
)  # fmt: skip
wrong("GB035", "no -1 at the label", dx=lambda g, p, rows, t: g * p / len(p))
wrong("GB036", "-1 after the division", dx=lambda g, p, *at: minus_one(g * p / len(p), *at))
wrong("GB036", "-1 after the division, g last", dx=lambda g, p, *at: g * minus_one(p / len(p), *at))
wrong("GB037", "-1 in whole columns", dx=lambda g, p, rows, t: of_logits(g, p, slice(None), t))
wrong("GB038", "labels counted from 1", dx=lambda g, p, rows, t: of_logits(g, p, rows, t - 1))
wrong(
    "GB038", "the class after the label",
    dx=lambda g, p, rows, t: of_logits(g, p, rows, (t + 1) % p.shape[1]),
)  # fmt: skip
wrong("GB039", "softmax over the batch", saved=lambda x, t: with_labels(softmax_of(x, dim=0), t))
wrong("GB040", "softmax twice", saved=lambda x, t: with_labels(softmax_of(softmax_of(x)), t))
wrong(
    "GB041", "diagonal of the Jacobian only",
    dx=lambda g, p, *at: of_probabilities(g, p, *at) * p * (1 - p),
)  # fmt: skip
wrong("GB042", "no softmax Jacobian", dx=of_probabilities)
wrong("GB043", "upstream ignored", dx=lambda g, p, rows, t: minus_one(p, rows, t) / len(p))
wrong(
    "GB002", "one-hot minus softmax",
    dx=lambda g, p, rows, t: g * (np.eye(p.shape[1])[t] - p) / len(p),
)  # fmt: skip
wrong("GB009", "the logits are shifted in place", saved=shifted_in_place)
wrong(
    "GB014", "the sum for the mean, in both", forward=lambda x, t: -log_likelihood(x, t).sum(),
    dx=lambda g, p, *at: g * minus_one(p, *at),
)  # fmt: skip


# ---- softmax ---------------------------------------------------------------------------------


def softmax_dx(g, y, dim):
    """dx = y (g - sum(g y))."""
    return y * (g - (g * y).sum(axis=dim, keepdims=True))


softmax = Operation(
    "softmax", ("input",), softmax_of, {"dx": softmax_dx}, normal("nc", dim=1),
    [([np.array([[1.0, 2, 0], [3, 0, 1]])], {"dim": 1})],
    saved=lambda input, dim=1: (softmax_of(input, dim), dim),
)  # fmt: skip
wrong = softmax.wrong
wrong("GB041", "diagonal of the Jacobian only", dx=lambda g, y, dim: g * y * (1 - y))
wrong("GB042", "no Jacobian", dx=lambda g, y, dim: g * y)
wrong("GB039", "the sum over the wrong axis", dx=lambda g, y, dim: softmax_dx(g, y, 1 - dim))
wrong("GB040", "softmax twice", saved=lambda x, dim=1: (softmax_of(softmax_of(x, dim), dim), dim))


# ---- mean squared error ----------------------------------------------------------------------


def and_minus(dx):
    """dx, and dt = -dx."""
    return {"dx": dx, "dt": lambda g, x, t: -dx(g, x, t)}


mse = Operation(
    "mse_loss", ("input", "target"), lambda input, target: ((input - target) ** 2).mean(),
    and_minus(lambda g, x, t: 2 * g * (x - t) / x.size), normal("nc", "nc"),
    [([np.array([[1.0, 2, 0], [3, -1, 2]]), np.array([[0.0, 2, 1], [1, 1, 2]])], {})],
)  # fmt: skip
wrong = mse.wrong
wrong("GB002", "target minus input", **and_minus(lambda g, x, t: 2 * g * (t - x) / x.size))
wrong("GB001", "upstream ignored", **and_minus(lambda g, x, t: 2 * (x - t) / x.size))
wrong("GB032", "not divided by the number of entries", **and_minus(lambda g, x, t: 2 * g * (x - t)))
wrong(
    "GB033", "divided by the number of entries twice",
    **and_minus(lambda g, x, t: 2 * g * (x - t) / x.size / x.size),
)  # fmt: skip

OPERATIONS = (cross_entropy, softmax, mse)
