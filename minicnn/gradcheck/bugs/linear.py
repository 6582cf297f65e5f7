"""Linear layers and matrix products, and the mistakes in their backward passes."""

import numpy as np

from .kinds import Bug, Operation

BUGS = (
    Bug(
        "GB016", "dx without the transpose",
        "dx = g @ W.T", "dx = g @ W          # y = x @ W.T + b",
        "needs a square W to run: a = g @ W.T where n = g @ W; no constant ratio",
        "The layer computes x @ W.T, so its backward multiplies by W itself. Follow the shapes: "
        "g is (N, out), W is (out, in), dx must be (N, in).",
    ),
    Bug(
        "GB017", "dW transposed",
        "dW = x.T @ g", "dW = g.T @ x        # (out, in), as W",
        "a = n.T; a shape error unless W is square, then the diagonal alone is right",
        "dW must have the shape of W, (out, in): g.T (out, N) times x (N, in).",
    ),
    Bug(
        "GB018", "mean over the batch added",
        "dW = g.T @ x / len(x)", "dW = g.T @ x",
        "r = 1/N in every entry, N the batch size",
        "Leave the division out. The mean, if there is one, belongs to the loss, whose gradient g "
        "has 1/N in it already; dividing here divides twice.",
    ),
    Bug(
        "GB019", "one sample only",
        "dW = np.outer(g[0], x[0])", "dW = g.T @ x        # the sum over all samples",
        "a = outer(g_i, x_i) of one sample i, a matrix of rank 1",
        "Every sample of the batch used the same W, so its gradient is the sum over the batch.",
    ),
    Bug(
        "GB020", "bias gradient summed too far",
        "db = np.full_like(b, g.sum())", "db = g.sum(axis=0)",
        "all entries of a are equal, to the sum of all entries of n",
        "Sum over the batch only (and over positions in a convolution): each output has its own "
        "bias, which receives the gradient of that output.",
    ),
)  # fmt: skip


def forward(input, weight, bias):
    """x W^T + b: (N, in), (out, in), (out,) -> (N, out)."""
    return input @ weight.T + bias


def backward(g, input, weight, bias):
    """dx = g W,  dW = g^T x,  db = the sum of g over the batch."""
    return g @ weight, g.T @ input, g.sum(axis=0)


def sample(rng):
    """N, in and out distinct."""
    n, i, o = rng.permutation([2, 3, 4, 5, 6])[:3]
    return _draw(rng, n, i, o)


def square(rng):
    """in = out: transposition bugs run without a shape error."""
    n, i = rng.permutation([2, 3, 4, 5])[:2]
    return _draw(rng, n, i, i)


def _draw(rng, n, i, o):
    return [rng.standard_normal(s) for s in [(n, i), (o, i), o]], {}


def examples():
    x, w = [[1.0, 2, 0], [3, -1, 2]], [[1.0, 0, 2], [-1, 3, 1], [2, 1, -2]]
    return [([np.array(x), np.array(w), np.array([1.0, -1, 2])], {})]


linear = Operation(
    "linear", ("input", "weight", "bias"), forward, backward,
    lambda rng: square(rng) if rng.random() < 0.3 else sample(rng), examples,
)  # fmt: skip


@linear.mutant("GB016", "W transposed in dx", sample=square)
def _(g, input, weight, bias):
    return g @ weight.T, g.T @ input, g.sum(axis=0)


@linear.mutant("GB017", "dW transposed", sample=square)
def _(g, input, weight, bias):
    return g @ weight, input.T @ g, g.sum(axis=0)


@linear.mutant("GB018", "dW averaged over the batch")
def _(g, input, weight, bias):
    return g @ weight, g.T @ input / len(input), g.sum(axis=0)


@linear.mutant("GB018", "db averaged over the batch")
def _(g, input, weight, bias):
    return g @ weight, g.T @ input, g.mean(axis=0)


@linear.mutant("GB018", "dW and db averaged over the batch")
def _(g, input, weight, bias):
    n = len(input)
    return g @ weight, g.T @ input / n, g.sum(axis=0) / n


@linear.mutant("GB019", "the first sample only")
def _(g, input, weight, bias):
    return g @ weight, np.outer(g[0], input[0]), g.sum(axis=0)


@linear.mutant("GB020", "db summed over everything")
def _(g, input, weight, bias):
    return g @ weight, g.T @ input, np.full_like(bias, g.sum())


@linear.mutant("GB002", "dW with the sign of the update")
def _(g, input, weight, bias):
    return g @ weight, -(g.T @ input), g.sum(axis=0)


BUFFERS: dict = {}


@linear.mutant("GB008", "dW in one buffer for all calls")
def _(g, input, weight, bias):
    dw = BUFFERS.setdefault(weight.shape, np.empty(weight.shape))
    np.matmul(g.T, input, out=dw)
    return g @ weight, dw, g.sum(axis=0)


@linear.mutant("GB009", "dW added to W itself")
def _(g, input, weight, bias):
    dx, dw = g @ weight, g.T @ input
    weight -= 0.1 * dw
    return dx, dw, g.sum(axis=0)


@linear.mutant("GB013", "dW gathered in float32")
def _(g, input, weight, bias):
    dw = np.zeros(weight.shape, np.float32)
    dw += g.T @ input
    return g @ weight, dw, g.sum(axis=0)


def in_float32(rng):
    inputs, params = sample(rng)
    return [a.astype(np.float32) for a in inputs], params


@linear.mutant("GB013", "dW gathered in float64", sample=in_float32)
def _(g, input, weight, bias):
    dw = np.zeros(weight.shape)
    dw += g.T @ input
    return g @ weight, dw, g.sum(axis=0)


def _whole_numbers(input, weight, bias):
    return forward(input, weight, bias).real.astype(int)  # as an integer array for y holds it


@linear.mutant("GB011", "an integer array for the output", forward=_whole_numbers)
def _(g, input, weight, bias):
    return g @ weight, g.T @ input, g.sum(axis=0)


def _noisy(input, weight, bias):
    noise = np.random.default_rng().standard_normal(len(weight))
    return forward(input, weight, bias) + 0.1 * noise


@linear.mutant("GB012", "noise added in forward", forward=_noisy)
def _(g, input, weight, bias):
    return g @ weight, g.T @ input, g.sum(axis=0)


def _not_transposed(input, weight, bias):
    return input @ weight + bias


@linear.mutant("GB014", "W not transposed, in both", sample=square, forward=_not_transposed)
def _(g, input, weight, bias):
    return g @ weight.T, input.T @ g, g.sum(axis=0)


# ---- matmul ----------------------------------------------------------------------------------


def matmul_forward(input, other):
    """A B: (N, K), (K, M) -> (N, M)."""
    return input @ other


def matmul_backward(g, input, other):
    """dA = g B^T,  dB = A^T g."""
    return g @ other.T, input.T @ g


def matmul_sample(rng):
    n, k, m = rng.permutation([2, 3, 4, 5])[:3]
    return [rng.standard_normal((n, k)), rng.standard_normal((k, m))], {}


def square_matrices(rng):
    n = int(rng.integers(2, 5))
    return [rng.standard_normal((n, n)), rng.standard_normal((n, n))], {}


def matmul_examples():
    return [([np.array([[1.0, 2], [0, -1]]), np.array([[3.0, 1], [2, -2]])], {})]


matmul = Operation(
    "matmul", ("input", "other"), matmul_forward, matmul_backward,
    lambda rng: (square_matrices if rng.random() < 0.3 else matmul_sample)(rng), matmul_examples,
)  # fmt: skip


@matmul.mutant("GB016", "no transpose in the first", sample=square_matrices)
def _(g, input, other):
    return g @ other, input.T @ g


@matmul.mutant("GB017", "the second transposed", sample=square_matrices)
def _(g, input, other):
    return g @ other.T, g.T @ input


@matmul.mutant("GB079", "operands not swapped", sample=square_matrices)
def _(g, input, other):
    return g @ input.T, other.T @ g


OPERATIONS = (linear, matmul)
