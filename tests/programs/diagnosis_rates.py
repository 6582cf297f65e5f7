"""How often the gradient checker finds and names the catalogue's mistakes: a table, no test.

    python tests/programs/diagnosis_rates.py [--quick] [--seeds 20] [--only conv2d]

Every mutant on random shapes: is it found, is its code the first diagnosis with the operation
named, and without?  And right gradients, on kinks and ties too: is there a false alarm?
"""

import argparse
import functools
import os
import sys
import time
import zlib
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MINICNN_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # two processes share two cores

import numpy as np  # noqa: E402

import minicnn  # noqa: E402
from minicnn.gradcheck import check_backward, gradcheck  # noqa: E402
from minicnn.gradcheck.bugs import OPERATIONS, false_alarms, graph  # noqa: E402

GOALS = {"detected": 1.0, "with op": 0.95, "without op": 0.75}

# Only an oracle can see that a forward is wrong when its backward fits it.
NEEDS_OP = {"GB014"}

# (operation, mutant) -> codes that describe the same wrong numbers just as well.
ALSO: dict[tuple[str, str], set[str]] = {
    # Of two paths one is left: "only one arrived" and "one came too late" are the same numbers.
    ("graph", "the last path's gradient only"): {"GB006"},
    ("graph", "depth first, no order"): {"GB004"},
}


def accepted(op, code, name):
    return {code, *ALSO.get((op, name), ())}


def rng_for(*parts):
    """A generator of its own for each trial, the same on every run."""
    return np.random.default_rng(zlib.crc32(repr(parts).encode()))


def codes_of(report):
    return [d.code for d in report.diagnosis]


def outcome(check, wanted):
    """(found, named first, the first codes) of a check of something wrong."""
    try:
        report = check()
    except Exception as error:  # the checker must never fail on a wrong gradient
        return False, False, (f"{type(error).__name__}: {error}",)
    codes = codes_of(report)
    return not report.ok, bool(codes) and codes[0] in wanted, tuple(codes[:3])


def of_mutant(task, without_op=True):
    """((operation, code, mutant, seed), the outcomes with the operation named and without)."""
    op, mutant, seed = OPERATIONS[task[0]], OPERATIONS[task[0]].mutants[task[1]], task[2]
    inputs, params = (mutant.sample or op.sample)(rng_for(op.name, mutant.name, seed))
    wanted = accepted(op.name, mutant.code, mutant.name)

    def check(**how):
        return check_backward(
            lambda *a: (mutant.forward or op.forward)(*a, **params),
            lambda g, *a: mutant.backward(g, *a, **params),
            [x.copy() for x in inputs], seed=seed, **how,
        )  # fmt: skip

    outcomes = [outcome(lambda: check(op=op.name, params=params), wanted)]
    outcomes += [outcome(check, wanted)] if without_op else []
    return (op.name, mutant.code, mutant.name, seed), outcomes


def of_graph(task):
    """A mistake in the graph, through gradcheck, where no operation is named."""
    case, seed = graph.CASES[task[0]], task[1]
    fn, inputs = case.make(rng_for(case.name, seed))
    wanted = accepted("graph", case.code, case.name)
    found = outcome(lambda: gradcheck(fn, inputs, raise_exception=False, seed=seed), wanted)
    return ("graph", case.code, case.name, seed), [found, found]


def of_right(task):
    """(what, the report's first lines if it is a false alarm)."""
    kind, name, number = task
    rng = rng_for(*task)
    try:
        if kind == "engine":
            return task, _engine_alarm(name, number)
        if kind == "rightful":
            case = false_alarms.CASES[name]
            op, (inputs, params) = case.operation, case.sample(rng)
        else:
            op = OPERATIONS[name]
            inputs, params = right_sample(op, number, rng)
        how = {"op": op.name, "params": params} if number % 2 else {}
        report = check_backward(
            lambda *a: op.forward(*a, **params), lambda g, *a: op.backward(g, *a, **params),
            inputs, seed=number, **how,
        )  # fmt: skip
        return task, "" if report.ok else str(report)
    except Exception as error:
        return task, f"{type(error).__name__}: {error}"


def right_sample(op, number, rng):
    """Inputs of the operation, or of one of its mutants (ties, padding, float32 ...), in turn.

    One in four is scaled, each input by its own factor from 0.01 to 100.
    """
    families = [op.sample, *dict.fromkeys(m.sample for m in op.mutants if m.sample)]
    inputs, params = families[number // 2 % len(families)](rng)
    if number % 4 == 3:
        inputs = [x * x.dtype.type(10 ** rng.uniform(-2, 2)) if _floating(x) else x for x in inputs]
    return inputs, params


def _floating(a):
    return a.dtype.kind == "f"


@functools.cache
def engine_calls(seed):
    """Every call of every engine op's samples that has a gradient, kinks and ties included."""
    return list(_engine_calls(np.random.default_rng(seed)))


def _engine_calls(rng):
    for function in ops_of(minicnn.autograd.Function):
        for s in function.samples(rng) if "samples" in vars(function) else ():
            if s.raises is None:
                call, tensors = tensor_call(function, s)
                if any(t.requires_grad for t in tensors) and has_gradient(call(*tensors)):
                    yield function, call, tensors


def ops_of(base):
    for c in base.__subclasses__():
        if c.__module__.startswith("minicnn.ops"):
            yield c
        yield from ops_of(c)


def tensor_call(function, s):
    """A function of tensors only that makes this sample's call, and the tensors, in float64."""
    args = [minicnn.Tensor(a) if isinstance(a, np.ndarray) else a for a in s.args]
    for a in args:
        if isinstance(a, minicnn.Tensor) and _floating(a):
            a.array = a.array.astype(np.float64)
            a.requires_grad_()

    def call(*given):
        given = iter(given)
        filled = [next(given) if isinstance(a, minicnn.Tensor) else a for a in args]
        return function.apply(*filled, **s.kwargs)

    return call, [a for a in args if isinstance(a, minicnn.Tensor)]


def has_gradient(y):
    return any(t.requires_grad for t in (y if isinstance(y, tuple) else (y,)))


def _engine_alarm(seed, number):
    function, call, tensors = engine_calls(seed)[number]
    report = gradcheck(call, tensors, raise_exception=False, seed=seed)
    return "" if report.ok else f"{function.__name__}\n{report}"


# ---- the table -------------------------------------------------------------------------------


def table(rows):
    """Prints rates by mutant, and the totals beside the goals; returns what was missed."""
    groups, totals = defaultdict(list), defaultdict(list)
    for (op, code, name, seed), outcomes in rows:
        groups[op, code, name].append((seed, outcomes))
    print(f"{'':74}{'found':>6}{'op':>6}{'-':>6}")
    for (op, code, name), trials in sorted(groups.items()):
        texts = []
        for kind in GOALS:
            hits = [hit(kind, op, code, outcomes) for _, outcomes in trials]
            hits = [h for h in hits if h is not None]
            totals[kind] += hits
            texts.append(f"{sum(hits) / len(hits):.0%}" if hits else "")
        print(f"{op:22}{code:7}{name[:44]:45}" + "".join(f"{t:>6}" for t in texts))
    for kind, goal in GOALS.items():
        hits, trials = sum(totals[kind]), len(totals[kind])
        if trials:
            print(f"{kind:12}{hits:6} of {trials:6}  {hits / trials:7.2%}  goal {goal:.0%}")
    return [
        (what, outcomes) for what, outcomes in rows
        if any(hit(kind, *what[:2], outcomes) is False for kind in GOALS)
    ]  # fmt: skip


def hit(kind, op, code, outcomes):
    """Whether the checker did what this column counts; None where it does not apply."""
    named, unnamed = outcomes
    if kind == "with op":
        return None if op == "graph" else named[1]
    if code in NEEDS_OP:
        return named[0] if kind == "detected" else None
    return named[0] and unnamed[0] if kind == "detected" else unnamed[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 seeds, fewer right gradients")
    parser.add_argument("--seeds", type=int, default=20, help="random shapes of each mutant")
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument("--failures", default="", help="a file for what was missed or misnamed")
    options = parser.parse_args()
    seeds, start = range(3 if options.quick else options.seeds), time.perf_counter()
    names = [n for n in OPERATIONS if options.only in n]
    mutants = [(n, i, s) for n in names for i in range(len(OPERATIONS[n].mutants)) for s in seeds]
    graphs = [(i, s) for i in range(len(graph.CASES)) for s in seeds if options.only in "graph"]
    with ProcessPoolExecutor(2) as pool:
        rows = [*pool.map(of_mutant, mutants, chunksize=8), *pool.map(of_graph, graphs)]
        failures = table(rows)
        print(f"{len(rows)} checks of mutants in {time.perf_counter() - start:.0f} s")
        alarms = [(t, text) for t, text in pool.map(of_right, rights(options), chunksize=8) if text]
    print(f"{len(rights(options))} right gradients: {len(alarms)} false alarms (goal 0)")
    if options.failures:
        write(options.failures, failures, alarms)
    return 1 if alarms else 0


def rights(options):
    """The right gradients to check: operations, the misleading cases, the engine's own."""
    few = options.quick or options.only
    times = 5 if few else 40
    tasks = [("op", n, i) for n in OPERATIONS if options.only in n for i in range(times)]
    if options.only:
        return tasks
    tasks += [("rightful", i, s) for i in range(len(false_alarms.CASES)) for s in range(times)]
    engine = len(engine_calls(0))
    return tasks + [("engine", s, i) for s in range(1 if few else 3) for i in range(engine)]


def write(path, failures, alarms):
    with open(path, "w") as file:
        for (op, code, name, seed), outcomes in failures:
            named, unnamed = (f"found={found} first={codes}" for found, _, codes in outcomes)
            print(f"{op} {code} {name!r} seed {seed}\n  op: {named}\n  no: {unnamed}", file=file)
        for task, text in alarms:
            print(f"FALSE ALARM {task}\n{text}\n", file=file)


if __name__ == "__main__":
    sys.exit(main())
