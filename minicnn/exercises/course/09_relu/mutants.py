"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_library, from_catalogue

RELU = "np.maximum(x, 0)"
LEAKY = "np.where(x > 0, x, negative_slope * x)"
BACK = "g * (x > 0)"
LEAKY_BACK = "np.where(x > 0, g, negative_slope * g)"
NEAR = "np.abs(x) < h"

BY_DIFFERENCES = """
def {op}_backward(g, x, h={step}, **how):
    return g * ({op}_forward(x + {right}, **how) - {op}_forward(x - {left}, **how)) / ({width})
"""
AT_ZERO = (
    "another slope at x = 0 than the convention's, that of the left side",
    "x > 0 is False at x = 0",
)
ACROSS = "a difference that reaches across the kink", "the slope as a formula"

MUTANTS = [
    Mutant("mask-returned", RELU, "(x > 0) * 1.0", "the mask, not the value", "x where x > 0"),
    Mutant("other-side", RELU, "np.minimum(x, 0)", "what is negative is kept", "x where x > 0"),
    Mutant("absolute-value", RELU, "np.abs(x)", "negative values change their sign",
           "0 where x < 0"),
    Mutant("value", RELU, "np.maximum(x, 1)"),
    Mutant("shape", RELU, "x[x > 0]"),
    Mutant("GB009", RELU, "np.maximum(x, 0, out=x)"),
    Mutant("negative-side-missing", LEAKY, "np.maximum(x, 0)", "nothing is let through where x < 0",
           "negative_slope · x where x is not positive"),
    Mutant("slope-fixed", LEAKY, "np.where(x > 0, x, 0.01 * x)",
           "negative_slope is not used as given", "the parameter, not its default value"),
    Mutant("constant-below", LEAKY, "np.where(x > 0, x, negative_slope)",
           "negative_slope itself where x < 0", "negative_slope · x where x is not positive"),
    Mutant("slope-at-zero", BACK, "g * (x >= 0)", *AT_ZERO),
    Mutant("slope-at-zero", BACK, "g * (np.sign(x) + 1) / 2", *AT_ZERO),
    Mutant("slope-at-zero", LEAKY_BACK, "np.where(x >= 0, g, negative_slope * g)", *AT_ZERO),
    Mutant("slope-at-zero", LEAKY_BACK, "g * ((x > 0) + negative_slope * (x < 0))", *AT_ZERO),
    Mutant("slope-at-zero", LEAKY_BACK, "g * np.interp(np.sign(x), [-1, 1], [negative_slope, 1])",
           *AT_ZERO),
    Mutant("ends-counted", NEAR, "np.abs(x) <= h", "|x| = h is no crossing",
           "near_kink: |x| < h; at |x| = h the difference is still exact"),
    Mutant("one-side", NEAR, "x < h", "everything below h counts", "near_kink: x may be negative"),
    Mutant("one-side", NEAR, "(x >= 0) & (x < h)", "only kinks on one side of x are seen",
           "near_kink: x may be negative"),
    Mutant("not-inverted", NEAR, "np.abs(x) >= h", "True where no kink is near",
           "near_kink: |x| < h"),
    by_library("relu_forward(x)", "F.relu(t(x)).numpy()"),
    *(Mutant("differences", "", BY_DIFFERENCES.format(
          op=op, step=step, right=right, left=left, width=width), *ACROSS)
      for op in ("relu", "leaky_relu") for step, right, left, width in (
          ("1e-6", "h", "h", "2 * h"), ("2**-5", "h", "h", "2 * h"), ("2**-5", "h", "0", "h"),
          ("2**-5", "0", "h", "h"))),
    *from_catalogue("relu", "relu_backward"),
    *from_catalogue("leaky_relu", "leaky_relu_backward"),
]  # fmt: skip
