"""Checks LeNet5 against minicnn's own, then trains it: on 2,000 images, then on 60,000."""

import time

import numpy as np

from minicnn import tensor
from minicnn.exercises.checking import Finding, Stop, Wrong, compare
from minicnn.nn import functional as F

LIMIT = 3600  # seconds
SHAPES = [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
NAMES = [f"{kind} of {name}" for name in ("C1", "C3", "C5", "F6", "the last layer")
         for kind in ("weight", "bias")]  # fmt: skip
FEW, AT_LEAST = 2000, 0.6  # the short training, and the share of 1,000 test images it must get
STEPS = 200  # after which it must have, in as many calls of fit as that takes
GOAL = 0.985


def check(learner, rng):
    """All of it; the training on 60,000 images takes minutes."""
    learner.tell("checking forward and backward")
    yield from check_briefly(learner, rng)
    learner.tell("training on 60,000 images, and Ctrl-C stops:")
    (images, labels), (tests, truth) = _mnist(True, 60_000), _mnist(False, 10_000)
    net = learner.LeNet5(np.random.default_rng(rng.integers(1 << 30)))
    _train(learner, net, images, labels, rng, every=100)
    right = int((_predict(net, tests) == truth).sum())
    learner.tell(f"{right / 100:.2f} % of the 10,000 test images are right")
    learner.score(right, len(truth))
    if right < GOAL * len(truth):
        yield Finding("accuracy", "not yet good enough", f"{GOAL:.1%} of the 10,000 test images",
                      f"{right / 100:.2f} %",
                      "fit: more epochs; a learning rate that falls to 0")  # fmt: skip


def check_briefly(learner, rng):
    """The network against the reference, and a training of seconds that must show it learns."""
    with learner.watching():
        net = learner.LeNet5(rng)
    yield from _parameters(net)
    yield from _network(learner, net, rng)
    learner.tell(f"both are right; training on {FEW:,} images:")
    (images, labels), (tests, truth) = _mnist(True, FEW), _mnist(False, 1000)
    net = learner.LeNet5(np.random.default_rng(rng.integers(1 << 30)))
    steps, share = 0, 0.0
    while share < AT_LEAST and steps < STEPS:
        steps += _train(learner, net, images, labels, rng, every=20)
        share = float((_predict(net, tests) == truth).mean())
        learner.tell(f"  {share:.1%} of 1,000 test images are right after {steps} steps")
    if share < AT_LEAST:
        yield Finding("not-learning", f"{steps} steps with {FEW:,} images taught it too little",
                      f"{AT_LEAST:.0%} of 1,000 test images", f"{share:.1%}",
                      "fit: the right labels for the images? a smaller or larger lr?")  # fmt: skip


# ---- the network -------------------------------------------------------------------------------


def _parameters(net):
    """Shapes, order, and a random start."""
    returned = [np.shape(getattr(p, "data", 0)) for p in getattr(net, "parameters", ())]
    expected = [shape for weight in SHAPES for shape in (weight, weight[:1])]
    if returned != expected:
        yield Finding("parameters", "net.parameters are not those of LeNet-5",
                      ", ".join(map(str, expected)), ", ".join(map(str, returned)) or "none",
                      "weight and bias of each layer, in the order of the layers")  # fmt: skip
    for name, p in zip(NAMES[::2], net.parameters[::2], strict=True):
        rows = p.data.reshape(len(p.data), -1)
        if np.allclose(rows, rows[0]):
            yield Finding("start-not-random", f"all rows of the {name} are equal",
                          "random weights", f"{rows[0, 0]:.4g} in each row",
                          "equal units have equal gradients, and stay equal for ever")  # fmt: skip


def _network(learner, net, rng):
    """Logits and gradients on three images, in float64, with biases that are not 0."""
    for p in net.parameters:
        p.data = p.data.astype(np.float64)
        if p.data.ndim == 1:
            p.data += 0.1 * rng.standard_normal(p.data.shape)
    x = rng.uniform(0, 1, (3, 1, 28, 28))
    g = rng.standard_normal((3, 10))
    data = [tensor(p.data.copy(), requires_grad=True) for p in net.parameters]
    right = _reference(tensor(x), data)
    right.backward(tensor(g))
    logits = right.detach().numpy()

    def other(**changed):
        return _reference(tensor(x), data, **changed).detach().numpy()

    with learner.watching():
        returned = net.forward(x.copy())
    wrong = [
        Wrong("logits-squashed", "a ReLU stands after the last layer", np.maximum(logits, 0),
              "the logits are the last linear layer's output as it is"),
        Wrong("max-pooling", "the maximum is taken in place of the average",
              lambda: other(pool=F.max_pool2d), "S2 and S4 take averages"),
        Wrong("flatten-order", "flatten has the axes in another order",
              lambda: other(axes=(0, 2, 3, 1)),
              "x.reshape(len(x), -1) of (N, C, H, W)"),
        *(Wrong("activation-missing", f"no ReLU after {place}",
                lambda place=place: other(without=place), "C1, C3, C5 and F6")
          for place in ("C1", "C3", "C5", "F6")),
    ]  # fmt: skip
    yield from compare(
        "net.forward(x)", returned, logits, wrong=wrong, axes="(N, 10)", where="LeNet5.forward"
    )
    yield from _gradients(learner, net, g, [np.asarray(p.grad) for p in data])


def _gradients(learner, net, g, true):
    """Backward once, and once more: it must add."""
    for p in net.parameters:
        p.grad = None
    for times in (1, 2):
        with learner.watching():
            net.backward(g.copy())
        for name, p, expected in reversed(list(zip(NAMES, net.parameters, true, strict=True))):
            if p.grad is None:
                yield Finding("grad-missing", f"no gradient for the {name}",
                              f"shape {expected.shape}", "None", "LeNet5.backward")  # fmt: skip
            wrong = [
                Wrong("GB002", "sign", -times * expected, "+ in backward, - in the step"),
                Wrong("GB018", "a mean over the batch is added", times * expected / 3,
                      "the loss has the 1/N already"),
                Wrong("GB005", "counted twice", 2 * times * expected, "once per backward"),
            ]  # fmt: skip
            if times == 2:
                wrong = [Wrong("GB004", "a second backward replaces the first", expected,
                               "p.grad += ..., not =")]  # fmt: skip
            yield from compare(
                f"the gradient of the {name}" + " after two backwards" * (times == 2),
                p.grad, times * expected, wrong=wrong, where="LeNet5.backward; layers after this "
                "one are right", derivative=True,
            )  # fmt: skip


def _reference(x, data, pool=F.avg_pool2d, axes=(0, 1, 2, 3), without=None):
    """The logits."""

    def relu(y, place):
        return y if place == without else F.relu(y)

    y = pool(relu(F.conv2d(x, *data[:2], padding=2), "C1"), 2)
    y = pool(relu(F.conv2d(y, *data[2:4]), "C3"), 2)
    y = y.permute(axes).flatten(1)
    y = relu(F.linear(y, *data[4:6]), "C5")
    y = relu(F.linear(y, *data[6:8]), "F6")
    return F.linear(y, *data[8:])


# ---- training ----------------------------------------------------------------------------------


def _mnist(train, count):
    """Images (M, 1, 28, 28) from 0 to 1 and labels (M,)."""
    from minicnn.datasets import MNIST

    digits = MNIST(train=train)
    images = digits.data.numpy()[:count, None].astype(np.float32) / 255
    return images, digits.targets.numpy()[:count].astype(np.int64)


def _train(learner, net, images, labels, rng, every):
    """Runs fit, shows the loss, and returns how many steps were made."""
    before = _Before(net)
    start, losses = time.perf_counter(), []
    steps = learner.plain("fit")(net, images, labels, rng)
    if not hasattr(steps, "__next__"):
        raise Stop("type", "fit is no generator", "yield loss after each step",
                   f"it returns {type(steps).__name__}", "fit")  # fmt: skip
    for loss in steps:
        losses.append(float(loss))
        if not np.isfinite(losses[-1]):
            raise Stop("diverged", f"the loss is {losses[-1]} at step {len(losses)}",
                       "a loss that falls from about 2.3", "a step that was too long",
                       "fit: a smaller learning rate, or weights that start smaller")  # fmt: skip
        if before.stale:
            raise Stop("GB007", "the gradients of earlier steps are still there",
                       "p.grad None or 0 when a step's backward begins", "something else",
                       "fit: optimizer.zero_grad() in each step")  # fmt: skip
        if len(losses) % every == 0:
            seconds = time.perf_counter() - start
            mean = np.mean(losses[-every:])
            learner.tell(f"  step {len(losses):5}   loss {mean:6.3f}   {seconds:4.0f} s")
    if not losses:
        raise Stop("no-steps", "fit makes no step", "a loss after each", "none", "fit")
    net.backward = before.backward
    return len(losses)


class _Before:
    """Stands before a net's backward, and notes whether a later call of it finds old gradients."""

    def __init__(self, net):
        self.net, self.backward, self.calls, self.stale = net, net.backward, 0, False
        net.backward = self.note

    def note(self, g):
        old = any(p.grad is not None and np.any(p.grad) for p in self.net.parameters)
        self.stale = self.stale or (old and self.calls > 0)
        self.calls += 1
        return self.backward(g)


def _predict(net, images):
    """The digits that the net reads."""
    parts = [net.forward(images[i : i + 500]) for i in range(0, len(images), 500)]
    return np.concatenate(parts).argmax(axis=1)
