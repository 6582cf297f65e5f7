"""Checks chain_forward and chain_backward against the derivatives multiplied out."""

from minicnn.exercises.checking import compare, unpack


def check(learner, rng):
    """Three chains of random numbers, none near a value at which two mistakes look alike."""
    for _ in range(3):
        x, w, b, t = (float(v) for v in rng.uniform(0.5, 2.0, 4) * rng.choice([-1, 1], 4))
        u = w * x + b
        da = 2 * (u**2 - t)
        du = da * 2 * u
        forward = {"u": u, "a": u**2, "L": (u**2 - t) ** 2}
        yield from _parts(learner, "chain_forward", (x, w, b, t), forward)
        backward = {"dx": du * w, "dw": du * x, "db": du, "dt": -da}
        yield from _parts(learner, "chain_backward", (x, w, b, t), backward)


def _parts(learner, function, numbers, right):
    """Findings for each of the numbers that a function returns."""

    def run(code):
        return unpack(function, getattr(code, function)(*numbers), list(right))

    at = ", ".join(f"{number:.4g}" for number in numbers)
    parts = zip(right, run(learner), right.values(), strict=True)
    for i, (name, returned, expected) in enumerate(parts):
        yield from compare(
            f"{name} of {function}({at})", returned, expected,
            wrong=learner.wrong(lambda planted, i=i: run(planted)[i]),
            where=f"{name} in {function}", derivative=function == "chain_backward",
        )  # fmt: skip
