"""Checks SGD against the rule in NumPy, step by step, and the order of calls in train."""

import numpy as np

from minicnn.exercises.checking import Finding, Wrong, compare, sizes

STEPS = 3


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


# ---- the rule, and wrong ones: (w, v, g, lr, momentum, weight decay) -> (w, v) -----------------


def _right(w, v, g, lr, m, d):
    v = m * v + g + d * w
    return w - lr * v, v


def _nesterov(w, v, g, lr, m, d):
    v = m * v + g + d * w
    return w - lr * (g + d * w + m * v), v


def _decoupled(w, v, g, lr, m, d):
    v = m * v + g
    return w - lr * (v + d * w), v


RULES = [
    ("GB002", "the step goes uphill",
     lambda w, v, g, lr, m, d: _right(w, v, g, -lr, m, d), "data - lr * v: against the gradient"),
    ("momentum-missing", "the velocity is not kept from step to step",
     lambda w, v, g, lr, m, d: _right(w, 0, g, lr, m, d), "v of the last step, times momentum"),
    ("dampened", "the new gradient is multiplied by 1 - momentum",
     lambda w, v, g, lr, m, d: _right(w, v, (1 - m) * g, lr, m, (1 - m) * d),
     "v = momentum * v + d; PyTorch's dampening is 0"),
    ("lr-in-velocity", "the learning rate is inside the velocity",
     lambda w, v, g, lr, m, d: _right(w, v, lr * g, 1, m, lr * d),
     "v without lr; lr * v at the step: a new lr acts on all of it"),
    ("velocity-late", "the step uses the velocity from before",
     lambda w, v, g, lr, m, d: (w - lr * v, _right(w, v, g, lr, m, d)[1]),
     "first the new v, then the step"),
    ("nesterov", "this is Nesterov's momentum", _nesterov, "data - lr * v"),
    ("GB015", "the weight decay is missing",
     lambda w, v, g, lr, m, d: _right(w, v, g, lr, m, 0), "d = grad + weight_decay * data"),
    ("GB015", "the weight decay is added twice",
     lambda w, v, g, lr, m, d: _right(w, v, g, lr, m, 2 * d), "once: its loss is decay/2 * w**2"),
    ("decay-sign", "the weight decay makes the weights grow",
     lambda w, v, g, lr, m, d: _right(w, v, g, lr, m, -d), "d = grad + weight_decay * data"),
    ("decay-decoupled", "the weight decay does not go through the velocity", _decoupled,
     "first d = grad + weight_decay * data, then v"),
]  # fmt: skip


def _path(rule, w, gradients, rates, m, d):
    """The weights after these steps."""
    v = np.zeros_like(w)
    for g, lr in zip(gradients, rates, strict=True):
        w, v = rule(w, v, g, lr, m, d)
    return w


def _shared(w, gradients, rates, m, d):
    """If the first velocity is the gradient's own array, which the next backward pass changes."""
    v = m * gradients[1] + gradients[1] + d * (w - rates[0] * gradients[0])
    return w - rates[0] * gradients[0] - rates[1] * v


# ---- the step ----------------------------------------------------------------------------------


def _parameters(rng):
    """Two of one shape, so that a velocity they share runs, and one of another."""
    a, b = sizes(rng, 2, 2, 4)
    return [rng.standard_normal(shape) for shape in ((a, b), (a, b), (b,))]


def _steps(learner, rng, m, d):
    """Findings for three steps with these settings and a learning rate that falls."""
    start = _parameters(rng)
    params = [Parameter(w.copy()) for w in start]
    gradients = [[rng.standard_normal(w.shape) for w in start] for _ in range(STEPS)]
    rates = [0.5, 0.5, 0.125]
    with learner.watching():
        optimizer = learner.SGD(params, rates[0], momentum=m, weight_decay=d)
    for t in range(STEPS):
        optimizer.lr = rates[t]
        _set_gradients(params, gradients[t])
        with learner.watching():
            optimizer.step()
        for i in range(len(params)):
            if t == 0 and np.array_equal(params[i].data, start[i]):
                continue  # the second step tells whether it never moves, or moves too late
            own = [step[i] for step in gradients[: t + 1]]
            what = f"params[{i}].{{}} after step {t + 1} with lr {rates[t]}"
            what += f", momentum {m:.2g}, weight_decay {d:.2g}"
            yield from _one(params[i], start[i], own, rates, m, d, what)


def _set_gradients(params, gradients):
    """In place after the first time, as backward passes add."""
    for p, g in zip(params, gradients, strict=True):
        if p.grad is None:
            p.grad = g.copy()
        else:
            p.grad[...] = g


def _one(p, w, gradients, rates, m, d, what):
    """Findings for one parameter after len(gradients) steps from w."""
    if not np.array_equal(p.grad, gradients[-1]):
        yield Finding("GB009", "step changes the gradient", "p.grad as it was before the step",
                      "other values in it",
                      "d = p.grad + ... makes a new array; += does not")  # fmt: skip
    steps, used = len(gradients), rates[: len(gradients)]
    kept = [rates[0]] * steps
    wrong = [Wrong(code, title, _path(rule, w, gradients, used, m, d),
                   f"{where}\n{what.format('data')}")
             for code, title, rule, where in RULES]  # fmt: skip
    wrong.append(Wrong("lr-kept", "a new lr is not used", _path(_right, w, gradients, kept, m, d),
                       "step must read self.lr each time"))  # fmt: skip
    if steps == 2:
        wrong.append(Wrong("GB008", "the velocity and p.grad are one array",
                           _shared(w, gradients, used, m, d),
                           "v = d.copy(), or a new array"))  # fmt: skip
    wrong.append(Wrong("not-moved", "the parameter has not moved", w, "p.data must change"))
    yield from compare(
        what.format("data"), p.data, _path(_right, w, gradients, used, m, d),
        wrong=wrong, where="SGD.step; one velocity for each parameter?",
    )  # fmt: skip


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
            _path(_right, start[i], own, lr, m, 0.0), wrong=[forgotten], where="SGD.zero_grad",
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
