"""Draws wrong backward passes from the catalogue, shows the evidence, and judges the answers."""

import random

import numpy as np

from minicnn.exercises.checking import Finding, same
from minicnn.gradcheck.bugs import CATALOGUE, OPERATIONS

WIDTH = 76  # of a page of evidence
SUSPECTS = 4  # codes to choose from
TRIES = 100  # of drawing inputs on which no other suspect would give the same numbers
ENTRIES = 7  # of an element-wise function

# What may have happened in each case; the first has one operation, the second one of three.
POOL = [
    {"linear": "GB002 GB016 GB017 GB018 GB019 GB020"},
    {
        "sigmoid": "GB001 GB021 GB022 GB023",
        "tanh": "GB001 GB024 GB025 GB026",
        "scaled_tanh": "GB001 GB024 GB027",
    },
    {"relu": "GB001 GB028 GB029 GB030"},
    {"softmax_cross_entropy": "GB002 GB032 GB033 GB034 GB035 GB036 GB037 GB038 GB040 GB041 GB042"},
    {"avg_pool2d": "GB058 GB059 GB060 GB061 GB062 GB063 GB064"},
    {"max_pool2d": "GB001 GB062 GB063 GB066 GB067 GB069"},
    {"subsample2d": "GB057 GB062 GB070 GB071 GB072 GB073 GB074 GB075"},
    {"conv2d": "GB002 GB018 GB020 GB044 GB045 GB049 GB051 GB057"},
]

# Mutants whose numbers do not show what happened, without computing the whole gradient again.
OBSCURE = {
    "the kernel flipped in dx", "the last windows left out of dW", "windows one row and column "
    "too far in dx", "windows one row and column too far in dW",
}  # fmt: skip

FORMULAS = {
    "linear": "y = input weight^T + bias",
    "sigmoid": "y = 1/(1 + exp(-x))",
    "tanh": "y = tanh(x)",
    "scaled_tanh": "y = A tanh(S x) with A = 1.7159, S = 2/3",
    "relu": "y = max(x, 0)",
    "softmax_cross_entropy": "y = the mean over the batch of -log softmax(input)[label]",
    "avg_pool2d": "y = the mean of each window",
    "max_pool2d": "y = the maximum of each window",
    "subsample2d": "y = coefficient_c * (the sum of the window) + bias_c",
    "conv2d": "y = the windows of input times weight, + bias",
}


def check(learner, rng):
    """The first case without the right answer is shown, with what is wrong with the answer."""
    yield from _form(learner.ROUND, learner.ANSWERS)
    cases = [Case(number, learner.ROUND, rng) for number in range(1, len(POOL) + 1)]
    answers = {n: str(a).strip().upper() for n, a in learner.ANSWERS.items()}
    open_cases = [case for case in cases if answers.get(case.number) != case.code]
    learner.score(len(cases) - len(open_cases), len(cases))
    yield from (case.finding(answers.get(case.number, "?")) for case in open_cases)


def _form(number, answers):
    if not isinstance(number, int):
        yield Finding("type", "ROUND is not a whole number", "ROUND = 1", repr(number), "ROUND")
    if not isinstance(answers, dict):
        kind = type(answers).__name__
        yield Finding("type", "ANSWERS is no dict", '{1: "GB...", 2: ...}', kind, "ANSWERS")


class Case:
    """A wrong backward pass, which the round decides, on inputs that are drawn from rng."""

    def __init__(self, number, round_, rng):
        draw = random.Random(f"round {round_}, case {number}")
        choice = POOL[number - 1]
        self.number, self.op = number, OPERATIONS[draw.choice(sorted(choice))]
        codes = choice[self.op.name].split()
        known = [m for m in self.op.mutants if m.code in codes and not m.forward]
        self.mutants = [m for m in known if m.name not in OBSCURE]
        self.code = draw.choice(codes)
        self.mutant = draw.choice([m for m in self.mutants if m.code == self.code])
        others = draw.sample([c for c in codes if c != self.code], min(SUSPECTS, len(codes)) - 1)
        self.suspects = sorted([self.code, *others])
        self._draw_inputs(rng)

    def _draw_inputs(self, rng):
        """Inputs on which the mutant is wrong, and no mutant of another code does the same."""
        for _ in range(TRIES):
            self.inputs, self.params = (self.mutant.sample or self.op.sample)(rng)
            self.y = self.op.forward(*self.inputs, **self.params)
            self.g = rng.uniform(0.5, 1.5, np.shape(self.y)) * rng.choice([-1, 1], np.shape(self.y))
            self.true = self._gradients(self.op.backward)
            self.returned = self._gradients(self.mutant.backward)
            rivals = [self._gradients(m.backward) for m in self.mutants if m.code != self.code]
            if not any(_equal(self.returned, other) for other in [self.true, *rivals]):
                return
        raise RuntimeError(f"{self.op.name}, {self.code}: never told from the others")

    def _gradients(self, backward):
        """What a backward pass returns; None if it does not run on these inputs."""
        copies = [np.copy(a) for a in (self.g, *self.inputs)]
        try:
            with np.errstate(all="ignore"):
                returned = backward(*copies, **self.params)
        except (ValueError, IndexError):
            return None
        return returned if isinstance(returned, tuple) else (returned,)

    @property
    def names(self):
        """Of the gradients: dinput, dweight ..."""
        return [f"d{name}" for name in self.op.inputs]

    def wrong(self, gradients):
        """The places of those gradients that are wrong."""
        pairs = enumerate(zip(gradients, self.true, strict=True))
        return [i for i, (a, n) in pairs if n is not None and not same(a, n)]

    # ---- what the learner reads ----------------------------------------------------------------

    def finding(self, answer):
        """The page, and what is wrong with the answer if there is one."""
        title = f"case {self.number} of {len(POOL)}, {self.op.name}\n\n{self.page()}\n"
        line = f'ANSWERS[{self.number}] = "GB..."'
        if answer == "?":
            return Finding("unanswered", title, where=f"{line} in your file")
        bug = CATALOGUE.get(answer)
        if bug is None:
            return Finding("no-such-code", title, line, answer, "the suspects above")
        if answer not in self.suspects:
            said = f"{answer}, {bug.title}"
            return Finding("no-suspect", title, "one of the suspects", said, line)
        signature = f"{answer} shows as: {bug.signature}"
        return Finding("not-it", title, signature, self._refuted(answer), line)

    def _refuted(self, answer):
        """Numbers that speak against an answer."""
        mutants = [m for m in self.mutants if m.code == answer]
        results = [self._gradients(m.backward) for m in mutants]
        results = [result for result in results if result is not None]
        if not results:
            return f"{answer} does not even run with these shapes"
        other, wrong = results[0], self.wrong(self.returned)
        for i in range(len(self.returned)):
            if (i in wrong) != (i in self.wrong(other)):
                would, here = ("wrong", "right") if i not in wrong else ("right", "wrong")
                return f"{answer} would make {self.names[i]} {would}; here it is {here}"
        i = next(i for i in wrong if not same(self.returned[i], other[i]))
        if np.shape(other[i]) != np.shape(self.returned[i]):
            return f"{answer} would give {self.names[i]} the shape {np.shape(other[i])}"
        gap = np.abs(self.returned[i] - other[i])
        at = np.unravel_index(np.argmax(gap), gap.shape)
        place = f"{self.names[i]}{[int(k) for k in at]}"
        would, here = f"{other[i][at]:.4f}", f"{self.returned[i][at]:.4f}"
        return f"{answer} would give {place} = {would}; here it is {here}"

    def page(self):
        """The evidence."""
        lines = [FORMULAS[self.op.name], ""]
        arrays = [*zip(self.op.inputs, self.inputs, strict=True), ("g", self.g)]
        lines.append("  ".join(f"{name} {np.shape(a)}" for name, a in arrays))
        keep = ("kernel_size", "stride", "padding", "dilation", "groups")
        settings = [f"{k} {v}" for k, v in self.params.items() if k in keep]
        lines += ["  ".join(settings)] * bool(settings)
        lines += ["", *self._verdicts(), ""]
        elementwise = len(self.inputs) == 1 and np.shape(self.y) == self.inputs[0].shape
        if elementwise:
            lines += self._table()
        else:
            for i in self.wrong(self.returned):
                lines += self._evidence(i)
        lines += ["suspects"]
        return "\n".join(lines + [f"  {code}  {CATALOGUE[code].title}" for code in self.suspects])

    def _verdicts(self):
        """Which gradients are right, and which wrong."""
        lines = []
        for name, a, n in zip(self.names, self.returned, self.true, strict=True):
            if n is None:
                continue
            share = np.mean(~np.isclose(a, n, 1e-9, 1e-12)) if np.shape(a) == n.shape else 1
            told = f"wrong in {share:.0%} of {n.size} entries" if share else "right"
            lines.append(f"{name:14} {told}")
        return lines

    def _table(self):
        """Some entries of an element-wise function, one in a line."""
        arrays = (*self.inputs, self.y, *self.returned, *self.true, self.g)
        x, y, a, n, g = (np.ravel(array)[:ENTRIES] for array in arrays)
        named = {"x": x, "y": y, "g": g, "n": n, "a": a}
        named |= {"n/g": n / g, "a/g": a / g, "a/n": _ratio(a, n)}
        lines = ["n is the true gradient, a the one that was found:",
                 "".join(f"{name:>9}" for name in named)]  # fmt: skip
        lines += ["".join(f"{_number(z[i]):>9}" for z in named.values()) for i in range(len(x))]
        return [*lines, ""]

    def _evidence(self, i):
        """One wrong gradient beside the right one, and what its entries have in common."""
        a, n, name = self.returned[i], self.true[i], self.names[i]
        if self.op.name == "softmax_cross_entropy":
            return self._loss(a, n)
        at = _busiest(a, n)
        label = f"{name}{list(at)}" if at else name
        blocks = [("n", n[at]), ("a", a[at])]
        if self.op.name.endswith("pool2d"):
            blocks = [("g", self.g[at]), *blocks]
        elif not _regular(_ratio(a, n)):
            blocks.append(("a/n", _ratio(a, n)[at]))
        if self.op.name == "max_pool2d":
            blocks = [("input", self.inputs[0][at]), *blocks]
        lines = [f"{label}: n is what it should be, a what was found", *_beside(blocks)]
        if self.op.name == "subsample2d":
            small = [("coefficient", self.inputs[1]), ("bias", self.inputs[2]),
                     ("true dcoefficient", self.true[1]), ("true dbias", self.true[2])]  # fmt: skip
            lines += [f"{what}: {'  '.join(map(_number, v))}" for what, v in small]
        return [*lines, *_facts(a, n), ""]

    def _loss(self, a, n):
        a, n, labels = a / self.g, n / self.g, self.inputs[1]
        lines = ["divided by g; n is what it should be, a what was found:"]
        blocks = [("n", n), ("a", a)]
        if not _regular(_ratio(a, n)):
            blocks += [("a - n", a - n), ("a/n", _ratio(a, n))]
        lines += _beside(blocks)
        lines.append(f"labels: {' '.join(map(str, labels))}")
        lines.append(f"sums of the rows of a: {'  '.join(map(_number, a.sum(axis=1)))}")
        return [*lines, *_facts(a, n), ""]


# ---- numbers -----------------------------------------------------------------------------------


def _equal(one, other):
    if other is None:
        return False
    pairs = zip(one, other, strict=True)
    return all(b is None or same(a, b) for a, b in pairs)


def _ratio(a, n):
    """a/n; NaN where both are 0."""
    with np.errstate(all="ignore"):
        return np.where(np.abs(n) + np.abs(a) < 1e-12, np.nan, a / n)


def _number(value):
    if np.isnan(value):
        return "-"
    places = 3 if abs(value) < 100 else 0
    return f"{np.round(value, places) + 0.0:.{places}f}"  # + 0.0: no -0.000


def _busiest(a, n):
    """The matrix within the arrays that has the most wrong entries; all of it in two axes."""
    if n.ndim <= 2:
        return ()
    wrong = (~np.isclose(a, n, 1e-9, 1e-12)).sum(axis=(-2, -1))
    return tuple(int(k) for k in np.unravel_index(np.argmax(wrong), wrong.shape))


def _beside(blocks):
    """Named matrices, as many in a row as fit."""
    rows: list = [[]]
    width = 0
    for name, block in blocks:
        cells = [[f"{_number(v):>8}" for v in row] for row in np.atleast_2d(block)]
        lines = [f"{'  ' + name:{8 * len(cells[0])}}", *map("".join, cells)]
        if width and width + 2 + len(lines[0]) > WIDTH:
            rows, width = [*rows, []], 0
        width += 2 + len(lines[0])
        rows[-1].append(lines)
    text = []
    for row in rows:
        height = max(map(len, row))
        padded = [lines + [" " * len(lines[0])] * (height - len(lines)) for lines in row]
        text += ["  ".join(parts).rstrip() for parts in zip(*padded, strict=True)]
    return text


def _facts(a, n):
    """What holds over all entries, not only those shown."""
    ratio = _ratio(a, n)
    lines = [f"over all {n.size} entries:", f"  {_regular(ratio) or _irregular(ratio)}"]
    zero = [np.mean(np.abs(z) < 1e-12) for z in (a, n)]
    if zero[0] != zero[1]:
        lines.append(f"  a is 0 in {zero[0]:.0%} of the entries, n in {zero[1]:.0%}")
    if np.allclose(np.sort(a, axis=None), np.sort(n, axis=None)):
        lines.append("  a has the same numbers as n, in other places")
    if n.size > 1 and np.allclose(a, a.flat[0]):
        lines.append("  all entries of a are equal")
    lines.append(f"  the sum of a is {_number(a.sum())}, that of n {_number(n.sum())}")
    return lines


def _regular(ratio):
    """That a/n is one number, or one for each index of an axis; empty if it is not."""
    known = ratio[~np.isnan(ratio)]
    if np.isfinite(known[0]) and np.allclose(known, known[0]):
        return f"a/n is {known[0]:.4f} wherever n is not 0"
    for axis in range(ratio.ndim) if ratio.ndim > 1 else ():
        lines = np.moveaxis(ratio, axis, 0).reshape(ratio.shape[axis], -1)
        rows = [row[~np.isnan(row)] for row in lines]
        if all(len(row) > 1 and np.allclose(row, row[0]) for row in rows):
            each = "  ".join(_number(row[0]) for row in rows)
            return f"a/n depends on the index along axis {axis} only: {each}"
    return ""


def _irregular(ratio):
    known = ratio[~np.isnan(ratio)]
    one = f"a/n is 1 in {np.mean(np.isclose(known, 1)):.0%} of them"
    if np.isinf(known).any():
        return f"{one}; in {np.mean(np.isinf(known)):.0%}, n is 0 and a is not"
    return f"{one}, and between {_number(known.min())} and {_number(known.max())}"
