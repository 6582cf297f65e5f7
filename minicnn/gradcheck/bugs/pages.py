"""What `minicnn bugs` prints: the list of the catalogue, and a page for each code."""

import difflib
import textwrap

from ...errors import ArgumentError
from . import CATALOGUE, Bug
from .worked_examples import side_by_side, worked_example

WIDTH = 80

# Where each part of the list begins.
PARTS = {
    "GB001": "General", "GB016": "Linear", "GB021": "Activations", "GB032": "Softmax cross-entropy",
    "GB044": "Convolution", "GB058": "Pooling", "GB070": "Trainable subsampling",
    "GB076": "Broadcasting and shape", "GB082": "Batch norm", "GB088": "Dropout",
}  # fmt: skip


def listing() -> str:
    """Codes and titles, part by part."""
    lines: list[str] = []
    for code, bug in CATALOGUE.items():
        if code in PARTS:
            lines += ["", PARTS[code]] if lines else [PARTS[code]]
        lines.append(f"  {code}  {bug.title}")
    return "\n".join([*lines, "", "minicnn bugs CODE shows one: the wrong line, the right one, how"
                      " it looks in\nnumbers, what to change, and a small example."])  # fmt: skip


def find(code: str) -> Bug:
    """The bug of this code, "GB044", "gb44" or "44".

    Raises
    ------
    ArgumentError
        There is none; the message names the nearest.
    """
    wanted = code.strip().upper()
    digits = wanted.removeprefix("GB")
    if digits.isdecimal() and f"GB{int(digits):03d}" in CATALOGUE:
        return CATALOGUE[f"GB{int(digits):03d}"]
    near = ", ".join(f"{c} ({CATALOGUE[c].title})" for c in _nearest(wanted, digits))
    raise ArgumentError(f"bugs: there is no {code!r}; nearest: {near}")


def _nearest(wanted: str, digits: str) -> list[str]:
    """Up to three codes: by number, by words of the title, or by spelling."""
    if digits.isdecimal():
        return sorted(CATALOGUE, key=lambda c: abs(int(c[2:]) - int(digits)))[:3]
    named = [c for c, bug in CATALOGUE.items() if wanted in bug.title.upper()][:3]
    return named or difflib.get_close_matches(wanted, CATALOGUE, n=3, cutoff=0)


def page(code: str) -> str:
    """All that the catalogue says about one mistake, with an example computed now."""
    bug = find(code)
    parts = [f"{bug.code}  {bug.title}" + ("" if bug.mistake else "  (a right gradient)"), ""]
    wrong, right = ("wrong", "right") if bug.mistake else ("not so", "but")
    parts += [*_labelled(wrong, bug.wrong, 18), *_labelled(right, bug.right, 18), ""]
    parts += [*_labelled("in numbers", bug.signature, 14), ""]
    parts += [*_labelled("remedy", bug.remedy, 14), ""]
    parts.append("  (a: the gradient under test, n: the true one, g: upstream, r = a/n)")
    return "\n".join([*parts, "", *_example(bug.code)])


def _labelled(label: str, text: str, indent: int) -> list[str]:
    """A part of the page; what is too long for the terminal goes on below."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"  {label:10}  ", subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )  # fmt: skip


def _example(code: str) -> list[str]:
    title, rows = worked_example(code)
    lines = textwrap.wrap(f"Example: {title}", WIDTH, subsequent_indent="  ")
    for row in rows:
        lines += ["", *(row.splitlines() if isinstance(row, str) else side_by_side(row, WIDTH))]
    return lines
