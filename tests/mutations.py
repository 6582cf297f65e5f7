"""Mutation: what programs/fuzz.py does to a sound file; knows bytes, trees and numbers only."""

import copy
import json
import math
import random

EXTREMES = (
    0, 1, 2, 7, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40,
    2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
TOKENS = (
    b"\0" * 16, b"\xff" * 16, b"{" * 300, b"[" * 3000, b"(" * 3000, b'"', b"\n", b"\\", b"'", b",",
    b"1e999", b"-1", b"NaN", b"\xff\xd8", b"\x1b[2J", b"PK\1\2", b"PK\5\6", b"IEND", b"\x1f\x8b",
)  # fmt: skip
ODD = (
    None, True, False, 0, 1, -1, 2, 2**31, -(2**31), 2**63, 2**64, -(2**63), 10**25, 10**400, 0.5,
    -0.0, 1e-320, 1e308, math.nan, math.inf, -math.inf, "", "x", "\0", "\n", "\x1b[2J", "\ud800",
    "x" * 100_000, "é", [], {}, [[]], [None], {"": 0}, ["x"], [0] * 3, [1e308] * 2,
)  # fmt: skip

KINDS = ("odd", "odd", "odd", "near", "gone", "swap", "double", "key", "deep")


class Mutation:
    """The changes of one file, drawn from a seed; `done` lists them.

    A writer of files passes each layer's content through `m(content)`, its fields through
    `m.integer` and `m.pick`, its trees through `m.tree`: each is changed sometimes, mostly not.

    Parameters
    ----------
    seed
        Text; equal ones make equal files.
    """

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self.done: list[str] = []
        sound = self.chance.random() < 0.04  # some files stay as they are, and must be read
        self.rate = 0.0 if sound else self.chance.choice((0.01, 0.03, 0.1))
        self.layer_rate = 0.0 if sound else self.chance.choice((0.1, 0.4, 0.6))

    def happens(self, rate: float | None = None) -> bool:
        return self.chance.random() < (self.rate if rate is None else rate)

    def pick(self, usual, *odd):
        """The usual value, sometimes one of the odd ones, which may be functions that make it."""
        if not self.happens():
            return usual
        value = self.chance.choice(odd)
        value = value() if callable(value) else value
        self.done.append(f"{value!r:.60} for {usual!r:.60}")
        return value

    def integer(self, n: int, bits: int = 32) -> int:
        """n, sometimes another number that so many bits hold."""
        if not self.happens():
            return n
        near = (n + 1, n - 1, 2 * n, n // 2, n + self.chance.randint(1, 100))
        value = self.chance.choice((*EXTREMES, *near)) % 2**bits
        self.done.append(f"{value} for {n}")
        return value

    # -- bytes

    def __call__(self, content: bytes, other: bytes = b"") -> bytes:
        """The content, sometimes changed at up to four places, or spliced with other content."""
        if not self.happens(self.layer_rate):
            return content
        for _ in range(self.chance.choice((1, 1, 1, 2, 4))):
            kinds = (
                self._flip, self._set, self._cut, self._extend, self._delete, self._double,
                self._swap, self._zero, self._number, self._number, self._insert,
            )  # fmt: skip
            kind = self.chance.choice(kinds)
            if other and self.happens(0.1):
                kind = self._splice
            changed = bytearray(content)
            note = kind(changed, other) if kind == self._splice else kind(changed)
            content = bytes(changed)
            self.done.append(f"{kind.__name__[1:]} {note} of {len(content)} bytes")
        return content

    def _at(self, content: bytearray) -> int:
        """A place, half of the time near the beginning, where headers are, or the end."""
        n = len(content)
        most = self.chance.choice((n, n, min(n, 32), min(n, 128), min(n, 512)))
        at = self.chance.randrange(most) if most else 0
        return n - 1 - at if n and self.happens(0.1) else at

    def _part(self, content: bytearray) -> tuple[int, int]:
        start = self._at(content)
        return start, start + self.chance.choice((1, 2, 4, 8, self.chance.randint(1, 2000)))

    def _flip(self, content: bytearray) -> object:
        if content:
            content[at := self._at(content)] ^= 1 << self.chance.randrange(8)
            return at
        return "nothing"

    def _set(self, content: bytearray) -> object:
        start, end = self._part(content)
        content[start:end] = self.chance.randbytes(len(content[start:end]))
        return start, end

    def _cut(self, content: bytearray) -> object:
        del content[(at := self._at(content)) :]
        return at

    def _extend(self, content: bytearray) -> object:
        more = self.chance.randint(1, 5000)
        content += self.chance.choice((bytes(more), self.chance.randbytes(more), content[:more]))
        return more

    def _delete(self, content: bytearray) -> object:
        start, end = self._part(content)
        del content[start:end]
        return start, end

    def _double(self, content: bytearray) -> object:
        start, end = self._part(content)
        content[start:start] = content[start:end]
        return start, end

    def _swap(self, content: bytearray) -> object:
        (a, b), (c, d) = sorted((self._part(content), self._part(content)))
        if b <= c:
            content[a:d] = content[c:d] + content[b:c] + content[a:b]
        return a, b, c, d

    def _zero(self, content: bytearray) -> object:
        start, end = self._part(content)
        content[start:end] = bytes(len(content[start:end]))
        return start, end

    def _number(self, content: bytearray) -> object:
        size, order = self.chance.choice((1, 2, 4, 4, 8)), self.chance.choice(("big", "little"))
        at = self._at(content) // size * size if self.happens(0.7) else self._at(content)
        value = self.chance.choice(EXTREMES) % 2 ** (8 * size)
        content[at : at + size] = value.to_bytes(size, order)
        return at, size, order, value

    def _insert(self, content: bytearray) -> object:
        at, token = self._at(content), self.chance.choice(TOKENS)
        content[at:at] = token
        return at, token[:20]

    def _splice(self, content: bytearray, other: bytes) -> object:
        at = self._at(content)
        content[at:] = other[self._at(bytearray(other)) :]
        return at

    def sizes(self, content: bytes, *sizes: int) -> bytes:
        """The content with one of these numbers in it replaced by another, wherever it stands."""
        if not self.happens(self.layer_rate / 2):
            return content
        old = self.chance.choice(sizes)
        new = self.chance.choice(
            (0, 1, old + 1, 1000, 4000, 8191, 9400, 2**14, 2**16 - 1, 2**31 - 1)
        )
        order = self.chance.choice(("big", "little"))
        for size in (2, 4):
            if new < 2 ** (8 * size):
                content = content.replace(old.to_bytes(size, order), new.to_bytes(size, order))
        self.done.append(f"{new} wherever {old} was")
        return content

    # -- trees of dicts, lists and plain values

    def tree(self, value, odd=ODD):
        """A tree, sometimes with one to three of its nodes changed, gone, doubled or exchanged."""
        if not self.happens(self.layer_rate):
            return value
        value = [copy.deepcopy(value)]
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            places = list(_places(value))
            parent, key = self.chance.choice(places)
            kind = self.chance.choice(KINDS)
            self.done.append(f"{kind} at {key!r:.40} ({parent[key]!r:.40})")
            self._change(parent, key, kind, places, odd)
        return value[0]

    def _change(self, parent, key, kind, places, odd) -> None:
        old = parent[key]
        if kind == "near" and type(old) in (int, float, str, list, dict):
            near = {int: (1, -1, 2**31), float: (0.5, -1.0)}.get(type(old), (str,))
            by = self.chance.choice(near)
            parent[key] = {"near": str(old)} if by is str else old + by
        elif kind == "gone" and parent is not places[0][0]:  # the whole tree stays
            del parent[key]
        elif kind == "swap":
            other, place = self.chance.choice(places)
            parent[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(old)
        elif kind == "double" and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(old))
        elif kind == "key" and isinstance(parent, dict):
            parent[self.chance.choice(("", "x", "\0", "__metadata__", 0, *parent))] = parent.pop(
                key
            )
        elif kind == "deep":
            parent[key] = _deep(self.chance.choice((50, 120, 250)))
        else:
            parent[key] = copy.deepcopy(self.chance.choice(odd))
            self.done[-1] += f" -> {parent[key]!r:.40}"

    def json(self, value) -> bytes:
        """A tree and its text, both changed sometimes."""
        text = json.dumps(self.tree(value))
        text = self.pick(text, lambda: f"{text[:-1]},{text[1:]}")  # every key twice
        text = self.pick(text, "[" * 5000, lambda: '{"a":' * 3000 + "0" + "}" * 3000, "", "null")
        return self(text.encode())


def _places(value):
    """(parent, key) of every node below."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(pairs):
        yield value, key
        if isinstance(item, (dict, list)):
            yield from _places(item)


def _deep(n: int) -> list:
    value: list = []
    for _ in range(n):
        value = [value]
    return value


class Sound(Mutation):
    """No change at all."""

    def __init__(self, seed: str = "sound") -> None:
        super().__init__(seed)
        self.rate = self.layer_rate = 0.0
