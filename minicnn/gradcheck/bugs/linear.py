"""Linear layers and matrix products, and the mistakes in their backward passes."""

import numpy as np

from .operation import Bug, Operation, in_float32, in_one_buffer, in_whole_numbers, normal, one_of

BUGS = (
    Bug("GB016", "dx without the transpose",
        "dx = g @ W.T", "dx = g @ W          # y = x @ W.T + b",
        "needs a square W to run: a = g @ W.T where n = g @ W; no constant ratio",
        "The layer computes x @ W.T, so its backward multiplies by W itself. Follow the shapes: "
        "g is (N, out), W is (out, in), dx must be (N, in)."),
    Bug("GB017", "dW transposed",
        "dW = x.T @ g", "dW = g.T @ x        # (out, in), as W",
        "a = n.T; a shape error unless W is square, then the diagonal alone is right",
        "dW must have the shape of W, (out, in): g.T (out, N) times x (N, in)."),
    Bug("GB018", "mean over the batch added",
        "dW = g.T @ x / len(x)", "dW = g.T @ x",
        "r = 1/N in every entry, N the batch size",
        "Leave the division out. The mean, if there is one, belongs to the loss, whose gradient g "
        "has 1/N in it already; dividing here divides twice."),
    Bug("GB019", "one sample only",
        "dW = np.outer(g[0], x[0])", "dW = g.T @ x        # the sum over all samples",
        "a = outer(g_i, x_i) of one sample i, a matrix of rank 1",
        "Every sample of the batch used the same W, so its gradient is the sum over the batch."),
    Bug("GB020", "bias gradient summed too far",
        "db = np.full_like(b, g.sum())", "db = g.sum(axis=0)",
        "all entries of a are equal, to the sum of all entries of n",
        "Sum over the batch only (and over positions in a convolution): each output has its own "
        "bias, which receives the gradient of that output."),
)  # fmt: skip


def forward(input, weight, bias):
    """x W^T + b: (N, in), (out, in), (out,) -> (N, out)."""
    return input @ weight.T + bias


sample = normal("ni", "oi", "o", sizes=(2, 3, 4, 5, 6))
square = normal("ni", "ii", "i")  # transposition bugs run without a shape error
X, W = np.array([[1.0, 2, 0], [3, -1, 2]]), np.array([[1.0, 0, 2], [-1, 3, 1], [2, 1, -2]])

GRADIENTS = {
    "dx": lambda g, x, w, b: g @ w,
    "dw": lambda g, x, w, b: g.T @ x,
    "db": lambda g, x, w, b: g.sum(axis=0),
}

linear = Operation(
    "linear", ("input", "weight", "bias"), forward, GRADIENTS,
    one_of(sample, sample, square), [([X, W, np.array([1.0, -1, 2])], {})],
)  # fmt: skip


def added_to_w(g, x, w, b):
    dw = g.T @ x
    w -= 0.1 * dw
    return dw


def noisy(input, weight, bias):
    noise = np.random.default_rng().standard_normal(len(weight))
    return forward(input, weight, bias) + 0.1 * noise


linear.wrong("GB016", "W transposed in dx", sample=square, dx=lambda g, x, w, b: g @ w.T)
linear.wrong("GB017", "dW transposed", sample=square, dw=lambda g, x, w, b: x.T @ g)
linear.wrong("GB018", "dW averaged over the batch", dw=lambda g, x, w, b: g.T @ x / len(x))
linear.wrong("GB018", "db averaged over the batch", db=lambda g, x, w, b: g.mean(axis=0))
linear.wrong(
    "GB018", "dW and db averaged over the batch",
    dw=lambda g, x, w, b: g.T @ x / len(x), db=lambda g, x, w, b: g.sum(axis=0) / len(x),
)  # fmt: skip
linear.wrong("GB019", "the first sample only", dw=lambda g, x, w, b: np.outer(g[0], x[0]))
linear.wrong("GB020", "db summed over everything", db=lambda g, x, w, b: np.full_like(b, g.sum()))
linear.wrong("GB002", "dW with the sign of the update", dw=lambda g, x, w, b: -(g.T @ x))
linear.wrong("GB008", "dW in one buffer for all calls", dw=in_one_buffer(GRADIENTS["dw"]))
linear.wrong("GB009", "dW added to W itself", dw=added_to_w)
linear.wrong("GB013", "dW gathered in float32", dw=lambda g, x, w, b: (g.T @ x).astype(np.float32))
linear.wrong(
    "GB013", "dW gathered in float64", sample=in_float32(sample),
    dw=lambda g, x, w, b: np.zeros(w.shape) + g.T @ x,
)  # fmt: skip
linear.wrong("GB011", "an integer array for the output", forward=in_whole_numbers(forward))
linear.wrong("GB012", "noise added in forward", forward=noisy)
linear.wrong(
    "GB014", "W not transposed, in both", sample=square, forward=lambda x, w, b: x @ w + b,
    dx=lambda g, x, w, b: g @ w.T, dw=lambda g, x, w, b: x.T @ g,
)  # fmt: skip


# ---- matmul ----------------------------------------------------------------------------------


different, square_matrices = normal("nk", "km"), normal("nn", "nn")
matmul = Operation(
    "matmul", ("input", "other"), lambda input, other: input @ other,
    {"da": lambda g, a, b: g @ b.T, "db": lambda g, a, b: a.T @ g},
    one_of(different, different, square_matrices),
    [([np.array([[1.0, 2], [0, -1]]), np.array([[3.0, 1], [2, -2]])], {})],
)  # fmt: skip
matmul.wrong("GB016", "no transpose in the first", sample=square_matrices, da=lambda g, a, b: g @ b)
matmul.wrong("GB017", "the second transposed", sample=square_matrices, db=lambda g, a, b: g.T @ a)
matmul.wrong(
    "GB079", "operands not swapped", sample=square_matrices,
    da=lambda g, a, b: g @ a.T, db=lambda g, a, b: b.T @ g,
)  # fmt: skip

OPERATIONS = (linear, matmul)
