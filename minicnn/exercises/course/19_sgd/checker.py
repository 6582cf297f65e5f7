"""Checks SGD against the rule in NumPy, step by step, and the order of calls in train."""

import numpy as np

from minicnn.exercises.checking import Finding, Wrong, compare, sizes

RATES = [0.5, 0.5, 0.125]  # of three steps


class Parameter:
    """What the learner's optimiser gets."""

    def __init__(self, data):
        self.data, self.grad = data, None


def check(learner, rng):
    """The step, with one setting after the other; then zero_grad, then train."""
    momentum, decay = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.8)
    for settings in ((0.0, 0.0), (momentum, 0.0), (0.0, decay), (momentum, decay)):
        yield from _steps(learner, rng, *settings)
    yield from _skipped(learner, rng)
    yield from _zero_grad(learner, rng, momentum)
    yield from _train(learner)


def _path(w, gradients, rates, momentum, decay):
    """The weights after these steps."""
    v = np.zeros_like(w)
    for g, lr in zip(gradients, rates, strict=True):
        v = momentum * v + g + decay * w
        w = w - lr * v
    return w


# ---- the step ----------------------------------------------------------------------------------


def _parameters(rng):
    """Two of one shape, so that a velocity they share runs, and one of another."""
    a, b = sizes(rng, 2, 2, 4)
    return [rng.standard_normal(shape) for shape in ((a, b), (a, b), (b,))]


def _steps(learner, rng, m, d):
    """Findings for three steps with these settings and a learning rate that falls."""
    start = _parameters(rng)
    gradients = [[rng.standard_normal(w.shape) for w in start] for _ in RATES]
    for made in range(1, len(RATES) + 1):
        steps, rates = gradients[:made], RATES[:made]
        with learner.watching():
            params = _after(learner, start, steps, m, d)
        for i, (p, w) in enumerate(zip(params, start, strict=True)):
            if not np.array_equal(p.grad, steps[-1][i]):
                yield Finding("GB009", "step changes the gradient",
                              "p.grad as it was before the step", "other values in it",
                              "d = p.grad + ... makes a new array; += does not")  # fmt: skip
            if made == 1 and np.array_equal(p.data, w):
                continue  # the second step tells whether it never moves, or moves too late
            settings = f"lr {rates[-1]}, momentum {m:.2g}, weight_decay {d:.2g}"
            yield from compare(
                f"params[{i}].data after step {made} with {settings}", p.data,
                _path(w, [step[i] for step in steps], rates, m, d),
                wrong=learner.wrong(
                    lambda planted, i=i, steps=steps: _after(planted, start, steps, m, d)[i].data
                ),
                where="SGD.step; one velocity for each parameter?",
            )  # fmt: skip


def _after(code, start, gradients, momentum, decay):
    """The parameters after a step for each of the gradients."""
    params = [Parameter(w.copy()) for w in start]
    optimizer = code.SGD(params, RATES[0], momentum=momentum, weight_decay=decay)
    for step, lr in zip(gradients, RATES, strict=False):
        optimizer.lr = lr
        _set_gradients(params, step)
        optimizer.step()
    return params


def _set_gradients(params, gradients):
    """In place after the first time, as backward passes add."""
    for p, g in zip(params, gradients, strict=True):
        if p.grad is None:
            p.grad = g.copy()
        else:
            p.grad[...] = g


def _skipped(learner, rng):
    """A parameter without a gradient is left alone."""
    w, g = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    params = [Parameter(w.copy()), Parameter(w.copy())]
    params[1].grad = g.copy()
    with learner.watching():
        optimizer = learner.SGD(params, lr=0.5, momentum=0.5, weight_decay=0.5)
        optimizer.step()
    return compare(
        "data of a parameter whose grad is None, after a step", params[0].data, w,
        where="if p.grad is None: continue",
    ) or compare(
        "data of the parameter after it", params[1].data, w - 0.5 * (g + 0.5 * w),
        where="continue goes on to the next parameter; return and break do not",
    )  # fmt: skip


# ---- zero_grad and train -----------------------------------------------------------------------


def _zero_grad(learner, rng, m):
    """grad is None or zeros; data and velocities are as they were."""
    start = _parameters(rng)
    params = [Parameter(w.copy()) for w in start]
    gradients = [[rng.standard_normal(w.shape) for w in start] for _ in range(2)]
    with learner.watching():
        optimizer = learner.SGD(params, lr=0.5, momentum=m)
    _set_gradients(params, gradients[0])
    optimizer.step()
    before = [p.data.copy() for p in params]
    with learner.watching():
        optimizer.zero_grad()
    for i, p in enumerate(params):
        stale = Wrong("GB007", "the old gradient is still there", gradients[0][i],
                      "p.grad = None, for every parameter")  # fmt: skip
        grad = np.zeros_like(p.data) if p.grad is None else p.grad
        yield from compare(f"params[{i}].grad after zero_grad", grad, np.zeros_like(start[i]),
                           wrong=[stale], where="SGD.zero_grad")  # fmt: skip
        yield from compare(
            f"params[{i}].data after zero_grad", p.data, before[i], where="SGD.zero_grad: grad only"
        )  # fmt: skip
    _set_gradients(params, gradients[1])
    with learner.watching():
        optimizer.zero_grad()  # None, or zeros, a second time
        optimizer.zero_grad()
        _set_gradients(params, gradients[1])
        optimizer.step()
    for i, p in enumerate(params):
        own = [step[i] for step in gradients]
        first, lr = start[i] - 0.5 * own[0], [0.5, 0.5]
        forgotten = Wrong("velocity-cleared", "zero_grad clears the velocity", first - 0.5 * own[1],
                          "only p.grad is set back; v goes on")  # fmt: skip
        yield from compare(
            f"params[{i}].data after step, zero_grad, step", p.data,
            _path(start[i], own, lr, m, 0.0), wrong=[forgotten], where="SGD.zero_grad",
        )  # fmt: skip


class _Recorder:
    """An optimiser that notes which batches are in the gradient at each step."""

    def __init__(self):
        self.grad, self.steps = ["an older one"], []

    def zero_grad(self):
        self.grad = []

    def backward(self, batch):
        self.grad.append(f"batch {batch}")

    def step(self):
        self.steps.append(list(self.grad))


def _train(learner):
    """The gradient of each step must be that of its batch, and of no other."""
    recorder, batches = _Recorder(), [0, 1, 2]
    learner.train(recorder, recorder.backward, batches)
    expected, made = [[f"batch {b}"] for b in batches], recorder.steps
    if made == expected:
        return
    if not made:
        code, title, where = "step-missing", "train makes no step", "optimizer.step()"
    elif not all(made):
        code, title = "zeroed-too-soon", "a step finds no gradient"
        where = "zero_grad, then backward, then step"
    elif len(made) == len(batches) and all(f"batch {b}" not in made[b] for b in batches):
        code, title = "step-too-soon", "the step comes before the batch's own backward pass"
        where = "zero_grad, then backward, then step"
    elif any(len(step) > 1 for step in made):
        code, title = "GB007", "a step uses gradients of earlier batches too"
        where = "zero_grad before each backward pass"
    else:
        code, title, where = "order", "train makes other steps", "one step for each batch"
    told = [", ".join(" + ".join(step) or "nothing" for step in s) for s in (expected, made)]
    yield Finding(code, title, f"steps on: {told[0]}", f"steps on: {told[1] or 'none'}", where)
