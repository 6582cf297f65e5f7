"""What `minicnn bench` prints of its figures: aligned text that is Markdown too."""

from typing import Any

Figures = dict[str, Any]

TITLES = {"torch": "PyTorch as installed", "torch-tuned": "PyTorch tuned"}


def table(figures: Figures) -> str:
    """The figures that `measure` returns, in a table for each number of threads, and one of memory.

    A speed is in examples per second.  A ratio is minicnn's speed by PyTorch's, of each one's best
    process, with the lowest and the highest of the rounds in brackets.
    """
    parts = [_heading(figures)]
    for threads, peak in figures["sgemm_flops"].items():
        rows = [row for row in figures["rows"] if row["threads"] == int(threads)]
        parts.append(f"Examples/s, threads: {threads} (sgemm: {peak / 1e9:.0f} GFLOP/s).")
        parts.append(markdown([_titles(rows[0], _SPEED), *map(_speed_cells, rows)]))
    if figures["memory"]:
        rows = figures["memory"]
        parts.append("Peak memory of a training process, MB (of it beyond the import).")
        parts.append(markdown([_titles(rows[0], _MEMORY), *map(_memory_cells, rows)]))
    return "\n\n".join(parts)


_SPEED = ("model", "work", "batch", "minicnn", "us/step", "of sgemm")
_MEMORY = ("model", "threads", "batch", "minicnn")


def _heading(figures: Figures) -> str:
    versions = figures["versions"]
    lines = [
        f"{figures['processor']}, {figures['cores']} cores; minicnn {versions['minicnn']} with "
        f"{figures['kernels']} kernels, NumPy {versions['numpy']}, Python {versions['python']}."
    ]
    if "torch" in versions:
        lines.append(
            f"PyTorch {versions['torch']}, tuned: its allocator, and channels_last. A ratio says "
            f"how many times as fast minicnn is: best of {figures['rounds']} processes each "
            "(lowest - highest of the rounds)."
        )
    return "\n".join(lines)


def _titles(row: Figures, ours: tuple[str, ...]) -> tuple[str, ...]:
    rivals = [title for name in row["sides"] if name in TITLES for title in (TITLES[name], "ratio")]
    return (*ours, *rivals)


def _speed_cells(row: Figures) -> tuple[str, ...]:
    ours = row["sides"]["minicnn"]
    cells = [
        row["model"], row["work"], str(row["batch"]), number(ours["examples_per_second"]),
        number(1e6 * ours["seconds"]), f"{row['share_of_sgemm']:.1%}",
    ]  # fmt: skip
    for name, side in row["sides"].items():
        if name in TITLES:
            cells += [number(side["examples_per_second"]), spread(side)]
    return tuple(cells)


def _memory_cells(row: Figures) -> tuple[str, ...]:
    cells = [row["model"], str(row["threads"]), str(row["batch"])]
    for name, side in row["sides"].items():
        peak, added = side["peak_bytes"], side["peak_bytes"] - side["import_bytes"]
        cells.append(f"{peak / 1e6:.0f} ({added / 1e6:.0f})")
        if name in TITLES:
            cells.append(f"{side['ratio']:.2f}")
    return tuple(cells)


def spread(figures: Figures) -> str:
    """A ratio, with the lowest and the highest of the rounds."""
    lowest, highest = figures["lowest_ratio"], figures["highest_ratio"]
    return f"{figures['ratio']:.2f} ({lowest:.2f} - {highest:.2f})"


def number(x: float) -> str:
    """Three digits at least, thousands marked."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Rows with bars between aligned cells, the first a heading; words left, numbers right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    words = [not cell[:1].isdigit() for cell in rows[1]]
    lines = [
        " | ".join(
            cell.ljust(w) if left else cell.rjust(w)
            for cell, w, left in zip(row, widths, words, strict=True)
        )
        for row in rows
    ]
    rule = " | ".join(
        "-" * w if left else "-" * (w - 1) + ":" for w, left in zip(widths, words, strict=True)
    )
    return "\n".join(f"| {line} |" for line in [lines[0], rule, *lines[1:]])
