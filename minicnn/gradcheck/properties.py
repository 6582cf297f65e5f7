"""The properties that any backward pass must have: repeatable, linear in g, no side effects.

Each is a Check; one that is not ok is a mistake even where the gradient at hand comes out right.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .differences import tied_direction
from .function_pair import Broken, FunctionPair, copied

Array = Any  # numpy.ndarray
SAME = 1e-9  # results that should be the same may differ by this, relative to the largest


@dataclass
class Check:
    """One question about the functions; text and code say what is wrong if it is not ok."""

    name: str
    ok: bool
    text: str = ""
    code: str | None = None  # of the mistake it shows
    sure: float = 0.97  # how surely it is that mistake

    def __post_init__(self) -> None:
        if self.ok:
            self.text, self.code = "", None


def distance(a: Any, b: Any, least: float = 0.0) -> float:
    """The largest |a - b| over the largest |a| or |b|, or over `least` if they are smaller.

    0 if both are None, infinite if one is, or has another shape.
    """
    if a is None or b is None or np.shape(a) != np.shape(b):
        return 0.0 if a is None and b is None else np.inf
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return np.inf
    if not known.any():
        return 0.0
    scale = max(float(np.abs(a[known]).max()), float(np.abs(b[known]).max()), least)
    return float(np.abs(a[known] - b[known]).max()) / scale if scale else 0.0


def _bits(arrays: list[Any]) -> list[Any]:
    return [x.tobytes() if isinstance(x, np.ndarray) else None for x in arrays]


def _changed(pair: FunctionPair, before: list[Any], inputs: list[Any]) -> list[str]:
    """The names of the inputs that are no longer as they were."""
    return [pair.names[i] for i, b in enumerate(_bits(inputs)) if b != before[i]]


def of_forward(pair: FunctionPair) -> list[Check]:
    """Whether forward leaves its inputs alone, repeats itself, and returns memory of its own."""
    inputs = pair.fresh()
    before = _bits(inputs)
    first = pair.outputs(inputs)
    kept = [y.copy() for y in first]
    changed = _changed(pair, before, inputs)
    text = f"forward changed {' and '.join(changed)} in place"
    checks = [Check("forward leaves its inputs alone", not changed, text, "GB009")]
    again = pair.outputs(pair.fresh())
    apart = max((distance(a, b) for a, b in zip(kept, again, strict=True)), default=0)
    repeats = apart <= SAME
    text = f"two calls on the same inputs differ by {apart:.2g} of the largest output"
    checks.append(Check("forward repeats itself", repeats, text, "GB012"))
    if repeats:
        own = _returns_its_own(pair, first, kept)
        text = "an output changed when forward was called again: it is a buffer that is used twice"
        checks.append(Check("forward returns memory of its own", own, text, "GB008"))
    return checks


def _returns_its_own(pair: FunctionPair, first: list[Array], kept: list[Array]) -> bool:
    """Whether the first outputs stay when forward is called with other inputs."""
    moved = pair.fresh()
    for i in pair.wrt:
        moved[i] = np.asarray(moved[i] * 0.5 + 0.125, moved[i].dtype)
    try:
        pair.outputs(moved)
    except Broken:  # the inputs' values were essential
        return True
    return all(distance(a, b) == 0 for a, b in zip(first, kept, strict=True))


class Backward:
    """Questions about backward; `gradients` is its answer at g."""

    def __init__(
        self, pair: FunctionPair, g: list[Array], rng: np.random.Generator, unit: float
    ) -> None:
        self.pair, self.g, self.rng = pair, g, rng
        self.checks: list[Check] = []
        self.natural = self._natural()
        self.same = [max(SAME, 1e3 * unit)] * len(pair.wrt)
        self._first()
        self.repeats = all(c.ok for c in self.checks if c.name == "backward repeats itself")
        self.wobble = self._wobble(unit)

    def _natural(self) -> float:
        """|<g, y>| over |x|: a gradient far below that is zero but for rounding."""
        pairs = zip(self.g, self.pair.y, strict=True)
        total = sum(float(np.abs(g * y)[np.isfinite(y)].sum()) for g, y in pairs if g is not None)
        return total / max(1.0, *map(_largest, self.pair.checked))

    def _call(self, g: list[Array], inputs: list[Any] | None = None) -> list[Any]:
        inputs = self.pair.fresh() if inputs is None else inputs
        return [_copy(a) for a in self.pair.gradients([_copy(a) for a in g], inputs)]

    def _say(self, *check: Any) -> None:
        self.checks.append(Check(*check))

    def _named(self, where: list[int]) -> str:
        """dx, dw and db."""
        names = ["d" + self.pair.names[self.pair.wrt[k]] for k in where]
        return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)

    def _is(self, where: list[int]) -> str:
        return f"{self._named(where)} {'are' if len(where) > 1 else 'is'}"

    def _apart(self, one: list[Any], other: list[Any]) -> list[int]:
        """In which of the gradients two results differ."""
        apart, least = [], 1e-4 * self.natural
        for k, (a, b, base) in enumerate(zip(one, other, self.gradients, strict=True)):
            if a is not None and b is not None and a.shape == b.shape == base.shape:
                a, b = (np.where(np.isfinite(base), c, 0) for c in (a, b))  # inf - inf says nothing
            if distance(a, b, least) > self.same[k]:
                apart.append(k)
        return apart

    def _wobble(self, unit: float) -> list[Any]:
        """How much each gradient moves when the inputs move by a rounding error.

        An ill-conditioned gradient is right with an error as large as this.  Equal numbers are
        moved alike, so that ties stay ties; and more than a thousandth is no rounding.
        """
        s, gradients = self.pair, self.gradients
        result: list[Any] = [None if a is None else np.zeros(a.shape) for a in gradients]
        for _ in range(2 if self.repeats else 0):
            inputs = s.fresh()
            moves = tied_direction(s.checked, self.rng, move_zeros=False)
            for i, move in zip(s.wrt, moves, strict=True):
                relative = move / np.maximum(1, np.abs(inputs[i]))
                inputs[i] = np.asarray(inputs[i] * (1 + 4 * unit * relative), inputs[i].dtype)
            for k, b in enumerate(self._call(self.g, inputs)):
                result[k] = _farther(result[k], gradients[k], b)
        for k, w in enumerate(result):
            if w is not None and _largest(w):
                self.same[k] += 10 * _largest(w) / _largest(gradients[k])
        return result

    def _first(self) -> None:
        """Calls it twice: does it change its arguments, repeat itself, keep what it returned?"""
        s, g, inputs = self.pair, [_copy(a) for a in self.g], self.pair.fresh()
        before, g_before = _bits(inputs), _bits(g)
        returned = s.gradients(g, inputs)
        changed = _changed(s, before, inputs) + (["g"] if _bits(g) != g_before else [])
        text = f"backward changed {' and '.join(changed)} in place"
        self._say("backward leaves its arguments alone", not changed, text, "GB009")
        kept = self.gradients = [_copy(a) for a in returned]
        again = self._call(self.g)
        apart = self._apart(kept, again)
        text = f"a second call with the same arguments gives another {self._named(apart)}"
        grown = bool(apart) and self._grows(kept, again)
        if grown:
            text = f"each further call adds the same to {self._named(apart)}: nothing resets it"
        self._say("backward repeats itself", not apart, text, "GB007" if grown else None)
        if not apart and not changed:
            self._call(_scaled(self.g, 3.0))
            lost = self._apart(kept, returned)
            text = (
                f"{self._named(lost)} changed after it was returned, when backward was called with "
                "another g: both calls fill the same memory"
            )
            self._say("returned gradients stay as they are", not lost, text, "GB008")

    def _grows(self, first: list[Any], second: list[Any]) -> bool:
        """Whether a third call adds what the second added."""
        steps = _sums(second, _scaled(first, -1.0))
        more = _sums(self._call(self.g), _scaled(second, -1.0))
        return all(distance(a, b) < 1e-6 for a, b in zip(steps, more, strict=True))

    def ask_all(self) -> list[Check]:
        """The remaining questions, which take a backward that repeats itself."""
        self._types()
        if not self.repeats:
            return self.checks
        for question in (self._linear, self._memory_order):
            try:
                question()
            except Broken as broken:
                self._say("backward takes any g", False, f"with another g, {broken}")
        return self.checks

    def _linear(self) -> None:
        """bwd(0) = 0, bwd(2g) = 2 bwd(g), bwd(g) + bwd(k) = bwd(g + k)."""
        a = self.gradients
        zero, twice = (self._call(_scaled(self.g, c)) for c in (0.0, 2.0))
        at_zero = [
            k for k, z in enumerate(zero) if z is not None and _largest(z) > SAME * _largest(a[k])
        ]
        ignored = [k for k in at_zero if distance(twice[k], a[k]) < SAME]
        text = f"{self._is(at_zero)} not 0 when g is 0"
        if ignored:
            text = f"{self._is(ignored)} the same when g is doubled, and when g is 0"
        self._say("bwd(0) = 0", not at_zero, text, "GB001", 0.97 if ignored else 0.6)
        apart = [k for k in self._apart(_scaled(a, 2.0), twice) if k not in at_zero]
        self._say("bwd(2g) = 2 bwd(g)", not apart, f"{self._is(apart)} not doubled with g")
        other = [
            None if x is None else self.rng.standard_normal(x.shape).astype(x.dtype) for x in self.g
        ]
        added, both = _sums(a, self._call(other)), self._call(_sums(self.g, other))
        apart = [k for k in self._apart(added, both) if k not in at_zero]
        text = f"{self._is(apart)} not additive in g: it looks at g's values or its sign"
        self._say("bwd(g) + bwd(k) = bwd(g + k)", not apart, text)

    def _memory_order(self) -> None:
        """The same numbers in another order in memory are the same g and the same inputs."""
        apart = self._apart(self.gradients, self._in_order(lambda x: x, _strided))
        text = (
            f"{self._is(apart)} different when g lies otherwise in memory: something reads the "
            "memory, not the array (order='K', as_strided, view)"
        )
        self._say("a non-contiguous g is the same g", not apart, text)
        apart = self._apart(self.gradients, self._in_order(_strided, lambda x: x))
        text = f"{self._is(apart)} different when the inputs lie otherwise in memory"
        self._say("non-contiguous inputs are the same inputs", not apart, text)

    def _in_order(self, of_inputs: Any, of_g: Any) -> list[Any]:
        inputs = [of_inputs(x) if isinstance(x, np.ndarray) else x for x in self.pair.fresh()]
        return self.pair.gradients([None if g is None else of_g(g.copy()) for g in self.g], inputs)

    def _types(self) -> None:
        """A gradient has its input's type."""
        s, wrong = self.pair, []
        for a, x, i in zip(self.gradients, s.checked, s.wrt, strict=True):
            if a is not None and a.dtype.kind == "f" and a.dtype != x.dtype:
                wrong.append(f"d{s.names[i]} is {a.dtype} and its input {x.dtype}")
        wrong = wrong or self._widened()
        self._say("gradients have their input's type", not wrong, "; ".join(wrong), "GB013")

    def _widened(self) -> list[str]:
        """Which gradients are wider than the inputs that the user gave, though y is not."""
        s = self.pair
        if all(s.given[i] is s.inputs[i] or _dtype(s.given[i]) == s.inputs[i].dtype for i in s.wrt):
            return []
        given = [copied(x) for x in s.given]
        try:
            y = s.outputs(given)
            g = [None if a is None else a.astype(b.dtype) for a, b in zip(self.g, y, strict=True)]
            gradients = s.gradients(g, given)
        except Broken:
            return []  # it was not made for this type
        wrong, widest = [], max(b.dtype.itemsize for b in y)
        for a, i in zip(gradients, s.wrt, strict=True):
            own = _dtype(s.given[i])
            floats = a is not None and own is not None and own.kind == "f"
            if floats and a.dtype.itemsize > max(widest, own.itemsize):
                wrong.append(f"d{s.names[i]} is {a.dtype} where its input is {own}")
        return wrong


def _dtype(x: Any) -> Any:
    return getattr(x, "dtype", None)


def _copy(a: Any) -> Any:
    return None if a is None else np.array(a)


def _scaled(arrays: list[Any], c: float) -> list[Any]:
    """Each array times c, in its own type."""
    factors = [a.dtype.type(c) if a is not None and a.dtype.kind == "f" else c for a in arrays]
    return [a if a is None else np.asarray(a * f) for a, f in zip(arrays, factors, strict=True)]


def _sums(one: list[Any], other: list[Any]) -> list[Any]:
    """None where an array is None, or the shapes differ."""
    return [
        None if a is None or b is None or a.shape != b.shape else np.asarray(a + b)
        for a, b in zip(one, other, strict=True)
    ]


def _farther(most: Any, a: Any, b: Any) -> Any:
    """The larger of `most` and |a - b|, as far as that can be rounding."""
    if a is None or b is None or a.shape != b.shape:
        return most
    moved = np.nan_to_num(np.abs(np.float64(a) - b), posinf=0)
    return np.fmax(most, np.fmin(moved, 1e-3 * np.abs(a) + 1e-6 * _largest(a)))


def _largest(a: Any) -> float:
    finite = np.zeros(0) if a is None else np.abs(a[np.isfinite(a)])
    return float(finite.max(initial=0.0))


def _strided(x: Array) -> Array:
    """The same array, its axes reversed in memory and every second number left out."""
    if x.ndim == 0:
        return x
    base = np.empty((*x.shape[::-1], 2), x.dtype)
    base[..., 0] = x.T
    base[..., 1] = np.nan if x.dtype.kind == "f" else 0
    return base[..., 0].T
