"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

ADD = "p.grad = gradient if p.grad is None else p.grad + gradient"
START = "rng.standard_normal(shape) * np.sqrt(2 / fan_in)"
HEAD = "*(LINEAR, RELU, LINEAR)"

RETURNED = "        return x\n\n    def backward"

BY_LIBRARY = """
import minicnn as mc
class LeNet5(LeNet5):
    def forward(self, x):
        return mc.models.LeNet()(mc.tensor(x)).numpy()
"""
MAX_POOL = """
def max_forward(x, kernel_size):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
LAYERS[2] = LAYERS[5] = (max_forward, None, {"kernel_size": (2, 2)}, False)
"""

MUTANTS = [
    Mutant("parameters", "for data in (weight, bias)", "for data in (weight,)"),
    Mutant("start-not-random", START, "np.full(shape, 0.01)"),
    Mutant("logits-squashed", HEAD, "*(LINEAR, RELU, LINEAR, RELU)"),
    Mutant("activation-missing", HEAD, "*(LINEAR, LINEAR)"),
    Mutant("activation-missing", "*(CONV, RELU, POOL)", "*(CONV, POOL)"),
    Mutant("flatten-order", "return x.reshape(len(x), -1)",
           "return x.transpose(0, 2, 3, 1).reshape(len(x), -1)"),
    Mutant("max-pooling", new=MAX_POOL),
    Mutant("error", '{"padding": (2, 2)}', "{}"),
    Mutant("shape", RETURNED, RETURNED.replace("x", "x.T")),
    Mutant("value", RETURNED, RETURNED.replace("x", "2 * x")),
    Mutant("GB004", ADD, "p.grad = gradient"),
    Mutant("GB018", ADD, "gradient = gradient / len(g); " + ADD),
    Mutant("GB002", ADD, "gradient = -gradient; " + ADD),
    Mutant("grad-missing", "zip(mine, gradients, strict=True)", "zip(mine[:1], gradients)"),
    Mutant("value", "return g.reshape(x.shape)", "return g.reshape(x.shape) * 3"),
    Mutant("error", "steps[::-1]", "steps"),
    Mutant("library", new=BY_LIBRARY),
    Mutant("GB007", "        optimizer.zero_grad()\n", ""),
    Mutant("diverged", "EPOCHS, BATCH, LR, MOMENTUM = 2, 64, 0.1, 0.9",
           "EPOCHS, BATCH, LR, MOMENTUM = 2, 64, 1e30, 0.9"),
    Mutant("not-learning", "x, target = images[batch], labels[batch]",
           "x, target = images[batch], labels[:BATCH]"),
    Mutant("type", "yield softmax", "softmax"),
    Mutant("no-steps", "for step in range(steps)", "for step in range(0)"),
]  # fmt: skip
