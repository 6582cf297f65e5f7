"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

P = "return np.exp(log_softmax(x))"
LOSS = "-log_softmax(x)[rows, target].mean()"
SHIFT = "x - x.max(axis=1, keepdims=True)"
DX = "return g * p / len(x)"

OWN_SOFTMAX = """
def softmax_cross_entropy_backward(g, x, target):
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    return g * (p - np.eye(x.shape[1])[target]) / len(x)
"""

MUTANTS = [
    Mutant("GB039", P, "e = np.exp(x - x.max()); return e / e.sum(axis=0)",
           "softmax along the batch", "a row is a sample: axis=1"),
    Mutant("normalised-together", P, "e = np.exp(x - x.max()); return e / e.sum()",
           "one sum for the whole batch", "every row sums to 1: axis=1, keepdims=True"),
    Mutant("sum-transposed", P, "e = np.exp(x); return e / e.sum(axis=1)",
           "each row is divided by another row's sum",
           "keepdims=True, so that the sums are (N, 1)"),
    Mutant("not-normalised", P, "return np.exp(x)", "exp(x) is not divided by its sum", "exp(x)/s"),
    Mutant("log-returned", P, "return log_softmax(x)", "the logarithm of softmax", "exp of it"),
    Mutant("value", P, "e = np.exp(x - 1); return e / (1 + e.sum(axis=1, keepdims=True))"),
    Mutant("overflow", SHIFT, "x"),
    Mutant("overflow", SHIFT, "x - x.mean(axis=1, keepdims=True)"),
    Mutant("one-shift-for-all", SHIFT, "x - x.max()"),
    Mutant("GB009", SHIFT, "np.subtract(x, x.max(axis=1, keepdims=True), out=x)"),
    Mutant("log-of-zero", LOSS, "-np.log(softmax(x)[rows, target]).mean()"),
    Mutant("log-clipped", LOSS, "-np.log(softmax(x)[rows, target] + 1e-12).mean()"),
    Mutant("log-clipped", LOSS, "-np.log(softmax(x).clip(1e-15, 1)[rows, target]).mean()"),
    Mutant("GB014", LOSS, "-log_softmax(x)[rows, target].sum()",
           "the sum of the losses, not their mean", "the mean over n"),
    Mutant("not-averaged", LOSS, "-log_softmax(x)[rows, target]",
           "a loss per sample, not their mean", "the mean over n"),
    Mutant("mean-over-classes", LOSS, "-log_softmax(x)[rows, target].sum() / x.size",
           "divided by N C", "the mean over n"),
    Mutant("all-classes", LOSS, "-log_softmax(x).mean()", "the mean over all classes",
           "the true class alone"),
    Mutant("sign-missing", LOSS, "log_softmax(x)[rows, target].mean()", "the sign is missing",
           "−log p"),
    Mutant("log-missing", LOSS, "-softmax(x)[rows, target].mean()", "p in place of log p",
           "−log p"),
    Mutant("GB037", LOSS, "-log_softmax(x)[:, target].mean()",
           "whole columns in place of one entry a row", "p[np.arange(N), target]"),
    Mutant("GB038", LOSS, "-log_softmax(x)[rows, target - 1].mean()", "the label is off by one",
           "classes are counted from 0"),
    Mutant("GB040", LOSS, "-log_softmax(softmax(x))[rows, target].mean()", "softmax twice",
           "x are logits; softmax comes once"),
    Mutant("overflow", new=OWN_SOFTMAX),
    Mutant("GB003", DX, "g * p / len(x)"),
    by_library("softmax_cross_entropy_forward(x, target)",
               "F.cross_entropy(t(x), t(target)).item()"),
    by_differences("softmax_cross_entropy_backward", "softmax_cross_entropy_forward", 1e-5),
    *from_catalogue("softmax_cross_entropy", "softmax_cross_entropy_backward"),
]  # fmt: skip
