"""What a check finds, and its result: what the learner reads."""

import html
import textwrap
from dataclasses import dataclass
from typing import Any, NamedTuple

COLUMNS = 64  # of a finding's text, beside its labels


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    code
        The name of the mistake: a code of `minicnn bugs` ("GB018"), or words of the exercise's own
        ("weight-not-transposed").
    title
        The mistake in a few words.
    expected, found
        In numbers, with shapes.
    where
        Where to look, and what to change.
    """

    code: str
    title: str
    expected: str = ""
    found: str = ""
    where: str = ""

    def __str__(self) -> str:
        rows = [("expected", self.expected), ("found", self.found), ("look at", self.where)]
        lines = [f"{self.code}: {self.title}"]
        for label, text in rows:
            for line in text.splitlines():
                for piece in _wrapped(line):
                    lines.append(f"  {label:9} {piece}")
                    label = ""
        return "\n".join(lines)


def _wrapped(line: str) -> list[str]:
    """A line in pieces that fit a terminal; indented ones, code and pictures, stay as they are."""
    if line.startswith(" "):
        return [line]
    return textwrap.wrap(line, COLUMNS, break_long_words=False) or [""]


class Wrong(NamedTuple):
    """A value that a known mistake gives, to name the mistake when that value comes out.

    Attributes
    ----------
    code, title
        Of the mistake.
    value
        What it gives, or a function without arguments that makes it (and may fail).
    where
        What to look at.
    """

    code: str
    title: str
    value: Any
    where: str = ""


class Stop(BaseException):
    """Ends a check with one finding; no `except Exception` on the way may swallow it."""

    def __init__(self, *finding: str) -> None:
        self.finding = Finding(*finding)


@dataclass(repr=False)
class Result:
    """What came out of a check; true if the exercise is passed.

    Attributes
    ----------
    findings
        What is wrong, the first thing to mend first; empty if passed.
    seed
        Repeats the check's random inputs.
    printed
        What the learner's code printed meanwhile.
    score
        (points, of) where the exercise keeps a score.
    note
        What else there is to say: that the progress could not be written.
    """

    exercise: str
    findings: list[Finding]
    seed: int
    printed: str = ""
    score: "tuple[int, int] | None" = None
    note: str = ""

    def __bool__(self) -> bool:
        return not self.findings

    def __repr__(self) -> str:
        head = f"{self.exercise}: {'passed' if self else 'not yet'}"
        if self.score:
            head += f", {self.score[0]} of {self.score[1]} points"
        parts = [head]
        if self.printed.strip():
            parts.append("your code printed\n" + _indented(self.printed.rstrip()))
        parts += [_indented(str(finding)) for finding in self.findings]
        if not self:
            parts.append(f"(--seed {self.seed} repeats these inputs)")
        if self.note:
            parts.append(self.note)
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self else "#b35900"
        text = html.escape(repr(self))
        return f"<pre style='border-left: 4px solid {colour}; padding-left: 1em'>{text}</pre>"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Result":
        """From its fields, in which a child process has lists for tuples."""
        findings = [Finding(*finding) for finding in data["findings"]]
        score = tuple(data["score"]) if data["score"] else None
        return cls(**data | {"findings": findings, "score": score})


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
