"""Mistakes of any operation, and of the check itself; their mutants stand with the operations."""

from .operation import Bug

BUGS = (
    Bug("GB001", "ignores g",
        "dx = y * (1 - y)", "dx = g * y * (1 - y)",
        "a stays the same when g changes: bwd(2g) = bwd(g), bwd(0) != 0",
        "Multiply the local derivative by the upstream gradient g, the loss's gradient with "
        "respect to y. A check with g = 1 everywhere cannot see this."),
    Bug("GB002", "sign",
        "dx = 2 * g * (target - x) / x.size", "dx = 2 * g * (x - target) / x.size",
        "r = -1 in every entry",
        "Return the derivative itself. The minus of gradient descent stands in the update, "
        "w -= lr * dw, not in backward."),
    Bug("GB008", "returned gradients share memory",
        "np.multiply(g, s, out=BUFFER); return BUFFER", "return g * s",
        "right when it is returned, and changed by the next call: a(g1) becomes a(g2)",
        "Return a new array. A view of g is fine as long as nobody writes to it; a buffer that "
        "the next call fills again is not."),
    Bug("GB009", "input mutated",
        "g[x <= 0] = 0; return g", "return np.where(x > 0, g, 0)",
        "an array given to backward or forward holds other numbers afterwards; a read-only one "
        "raises",
        "Work on a copy or write an expression that makes a new array: the caller, and every "
        "other branch of the graph, still needs the old numbers."),
    Bug("GB010", "float32 noise, not a bug",
        "numeric_gradient(f, x.astype(np.float32), h=1e-5)",
        "numeric_gradient(f, x.astype(np.float64))",
        "relative errors near 1 with h = 1e-5 in float32, where y keeps 7 digits; none in float64",
        "Nothing in backward: differences need float64. In float32 the rounding of y, about "
        "1e-7 |y|, divided by 2h drowns the derivative.",
        mistake=False),
    Bug("GB011", "integer input truncates the step",
        "x = np.array([1, 2, 3])", "x = np.array([1.0, 2, 3])",
        "n = 0 exactly, whatever a is: x + h is x again in an integer array",
        "Keep every array of the computation floating: an integer input or buffer rounds x + h "
        "back to x, and the differences vanish."),
    Bug("GB012", "forward not repeatable",
        "mask = rng.random(x.shape) < keep   # in forward, at each call",
        "mask = np.random.default_rng(seed).random(x.shape) < keep",
        "forward(x) differs from forward(x) on the same x; n is noise as large as 1/h",
        "Draw random numbers outside, or from a generator seeded inside, and keep running "
        "statistics out of what is checked."),
    Bug("GB013", "dtype promoted or demoted",
        "dx = np.zeros(x.shape, np.float32)", "dx = np.zeros_like(x)",
        "the dtype of a is not the input's; a demoted one has relative errors near 6e-8",
        "Give the gradient the dtype of its input. np.zeros(shape) is float64, which makes a "
        "float32 network slow; float32 in a float64 check loses half of the digits."),
    Bug("GB014", "forward wrong though gradient consistent",
        "y = 1 / (1 + np.exp(x))", "y = 1 / (1 + np.exp(-x))",
        "a = n, but forward(x) is not the operation's output: only an oracle can tell",
        "Compare the forward pass with a known one first. Backward is the right gradient of what "
        "forward computes; that is not the operation named."),
)  # fmt: skip
