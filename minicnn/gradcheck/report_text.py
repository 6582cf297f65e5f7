"""A Report as text for terminals of 80 columns, in ASCII, and as HTML for notebooks."""

import html
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .report import InputReport, Report

WIDTH = 79
SHADES = "-+*#@"  # of a wrong entry, by its error relative to the largest
MAPS = 2  # slices drawn for an input
LARGEST = (24, 60)  # rows and columns of a map


def as_text(report: "Report") -> str:
    """The whole report."""
    lines = [f"{report.title}: {'right' if report.ok else 'WRONG'}"]
    rows = _rows(report)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:3] + [0]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    lines += [line for c in report.checks if not c.ok for line in _wrapped(f"! {c.text}")]
    if all(r.ok for r in report.inputs) and all(c.ok for c in report.checks):
        lines += [line for d in report.directions if not d.ok for line in _wrapped(f"! {d.text}")]
    if report.diagnosis:
        lines += ["", "What it looks like:"]
        for d in report.diagnosis:
            lines += _wrapped(f"{d.code}  {d.title}  ({d.confidence:.0%})", "  ", "         ")
            lines += _wrapped(d.evidence, "         ")
            lines += _wrapped(f"To do: {d.remedy}", "         ") if d.remedy else []
    elif not report.ok:
        lines += ["", "The mistake is not recognised; what was seen:"]
    lines += [line for c in report.clues for line in _wrapped(f"- {c}", "  ", "    ")]
    for r in report.inputs:
        if not r.ok and r.comparable:
            lines += ["", *_details(r)]
    lines += [line for n in report.notes for line in _wrapped(f"note: {n}", "", "      ")]
    return "\n".join(lines)


def _wrapped(text: str, first: str = "  ", rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=first if rest is None else rest
    )


def _rows(report: "Report") -> list[tuple[str, ...]]:
    """The table: an input's gradient in a row."""
    return [
        (f"d{r.name}", str(r.shape), "right" if r.ok else "WRONG", _compared(r))
        for r in report.inputs
    ]


def _compared(r: "InputReport") -> str:
    if r.problem:
        return r.problem
    size, count = r.numeric.size, len(r.entries)
    what = f"{count} of {size} sampled" if r.sampled else f"all {size} entries"
    if r.wrong.any():
        return f"{int(r.wrong.sum())} of {what}" if r.sampled else f"{int(r.wrong.sum())} of {size}"
    return f"{what}, error {r.error:.0e}" if size else "nothing to compare"


def _details(r: "InputReport") -> list[str]:
    """The worst entries, their behaviour over step sizes, and where the error lives."""
    worst = r.worst()
    places = [str(e.index) for e in worst]
    width = max(map(len, [*places, "worst"]))
    lines = [f"d{r.name}: {'worst':{width}}  {'analytic':>15} {'numeric':>15}  tolerance"]
    indent = " " * (len(r.name) + 3)
    for place, e in zip(places, worst, strict=True):
        lines.append(
            f"{indent}{place:{width}}  {e.analytic:15.8g} {e.numeric:15.8g}  {e.error_bar:.1g}"
        )
    if r.steps:
        parts = [f"{h:.0e}: {n:.6g}" for h, n, _ in r.steps]
        lines += _wrapped(f"numeric by step h at the worst: {', '.join(parts)}", indent)
    return lines + [indent + line for line in heat_map(r)]


def heat_map(r: "InputReport") -> list[str]:
    """Where a gradient is wrong: the slices over its last two axes that hold most of it."""
    if r.wrong.ndim < 1 or r.wrong.size < 2 or not r.comparable:
        return []
    off = np.where(r.wrong, np.abs(np.asarray(r.analytic, float) - r.numeric), 0)
    off = np.where(np.isfinite(off), off, 1e3 * np.max(off, where=np.isfinite(off), initial=1.0))
    off, seen = np.atleast_2d(off), np.atleast_2d(~np.isnan(r.numeric))
    rows, columns = (min(n, most) for n, most in zip(off.shape[-2:], LARGEST, strict=True))
    counts = (off > 0).sum((-2, -1))
    leading = [np.unravel_index(k, counts.shape) for k in np.argsort(-counts, axis=None)[:MAPS]]
    lines = [f"where ('.' right, {SHADES} wrong, ever further off, ' ' not compared)"]
    for index in leading:
        if not counts[index]:
            continue
        label = "".join(f"{int(i)}, " for i in index)
        if off.ndim > 2 or off.shape[-2:] != (rows, columns):
            lines.append(f"[{label}:{rows}, :{columns}]")
        lines += _drawn(off[index][:rows, :columns], seen[index][:rows, :columns], off.max())
    return lines


def _drawn(off: Any, seen: Any, largest: float) -> list[str]:
    shade = np.minimum((off / largest * len(SHADES)).astype(int), len(SHADES) - 1)
    cells = np.where(off != 0, np.array(list(SHADES))[shade], np.where(seen, ".", " "))
    return ["".join(row) for row in cells]


def as_html(report: "Report") -> str:
    """The report for a notebook: a table, the diagnosis, and the details folded away."""
    e = html.escape
    parts = [f"<b>{e(report.title)}: {'right' if report.ok else 'WRONG'}</b><table>"]
    for row in _rows(report):
        parts.append("<tr>" + "".join(f"<td>{e(cell)}</td>" for cell in row) + "</tr>")
    parts.append("</table>")
    parts += [f"<p>{e(c.text)}</p>" for c in report.checks if not c.ok]
    for d in report.diagnosis:
        parts.append(
            f"<p><b>{e(d.code)} {e(d.title)}</b> ({d.confidence:.0%})<br>{e(d.evidence)}<br>"
            f"<i>{e(d.remedy)}</i></p>"
        )
    parts += [f"<p>{e(c)}</p>" for c in (*report.clues, *report.notes)]
    for r in report.inputs:
        if not r.ok and r.comparable:
            details = e("\n".join(_details(r)))
            parts.append(f"<details><summary>d{e(r.name)}</summary><pre>{details}</pre></details>")
    return "".join(parts)
