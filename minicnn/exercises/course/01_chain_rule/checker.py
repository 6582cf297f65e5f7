"""Checks chain_forward and chain_backward against the derivatives multiplied out."""

from minicnn.exercises.checking import Wrong, compare, unpack

NAMES = ("dx", "dw", "db", "dt")


def check(learner, rng):
    """Three chains of random numbers, none near a value at which two mistakes look alike."""
    for _ in range(3):
        x, w, b, t = (float(v) for v in rng.uniform(0.5, 2.0, 4) * rng.choice([-1, 1], 4))
        yield from _forward(learner, x, w, b, t)
        yield from _backward(learner, x, w, b, t)


def _call(x, w, b, t):
    return f"({x:.4g}, {w:.4g}, {b:.4g}, {t:.4g})"


def _forward(learner, x, w, b, t):
    returned = unpack("chain_forward", learner.chain_forward(x, w, b, t), ("u", "a", "L"))
    u = w * x + b
    wrong = {"L": [Wrong("loss-not-squared", "the loss is a - t, not its square", u**2 - t)]}
    for name, value, expected in zip("uaL", returned, (u, u**2, (u**2 - t) ** 2), strict=True):
        yield from compare(
            f"{name} of chain_forward{_call(x, w, b, t)}", value, expected,
            wrong=wrong.get(name, ()), where="chain_forward",
        )  # fmt: skip


def _backward(learner, x, w, b, t):
    returned = unpack("chain_backward", learner.chain_backward(x, w, b, t), NAMES)
    u = w * x + b
    da = 2 * (u**2 - t)
    du = da * 2 * u
    for name, value, expected in zip(NAMES, returned, (du * w, du * x, du, -da), strict=True):
        yield from compare(
            f"{name} of chain_backward{_call(x, w, b, t)}", value, expected,
            wrong=_mistakes(name, expected, x, w, u, da), where=f"{name} in chain_backward",
            derivative=True,
        )  # fmt: skip


def _mistakes(name, expected, x, w, u, da):
    """What known mistakes give for one of the derivatives."""
    squares = "each of the two squares gives a factor 2"
    wrong = [
        Wrong("GB002", f"{name} has the wrong sign", -expected, "the minus signs"),
        Wrong("factor-2", "a factor 2 is missing", expected / 2, squares),
        Wrong("factor-2", "both factors 2 are missing", expected / 4, squares),
    ]
    own = {"dx": w, "dw": x, "db": 1.0}.get(name)  # the derivative of u = w x + b
    if own is not None:
        wrong += [
            Wrong("link-left-out", "the square is left out of the chain", da * own,
                  "2 u, the derivative of u^2, is a factor too"),
            Wrong("loss-left-out", "the last link is left out of the chain", 2 * u * own,
                  "start with dL/da = 2 (a - t)"),
            Wrong("factors-added", "derivatives along the chain are added", da + 2 * u + own,
                  "along one path they are multiplied"),
            Wrong("wrong-point", "the derivative of u^2 is taken at x", da * 2 * x * own,
                  "2 u, not 2 x: u is what is squared"),
        ]  # fmt: skip
    if name in ("dx", "dw"):
        operand = {"dx": x, "dw": w}[name]
        wrong += [
            Wrong("last-link-left-out", f"{name} stops at u", da * 2 * u,
                  "u = w x + b: times the derivative of w x"),
            Wrong("GB079", "the product uses its own operand", da * 2 * u * operand,
                  "the derivative of w x by w is x"),
        ]  # fmt: skip
    return wrong
