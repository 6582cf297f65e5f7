"""What `minicnn bench` prints of its figures: aligned text that is Markdown too."""

from collections.abc import Callable, Sequence
from typing import Any

Figures = dict[str, Any]

TITLES = {"torch": "PyTorch as installed", "torch-tuned": "PyTorch tuned"}
SIDES_ON_GPU = {
    "minicnn": "minicnn", "minicnn-graph": "minicnn, graph",
    "torch": "PyTorch", "torch-graph": "PyTorch, graph",
}  # fmt: skip


def table(figures: Figures) -> str:
    """The figures that `measure` returns, in a table for each number of threads, and one of memory.

    A speed is in examples per second.  A ratio is minicnn's speed by PyTorch's, of each one's best
    process, with the lowest and the highest of the rounds in brackets.
    """
    parts = [_heading(figures)]
    for threads, peak in figures["sgemm_flops"].items():
        rows = [row for row in figures["rows"] if row["threads"] == int(threads)]
        parts.append(f"Examples/s, threads: {threads} (sgemm: {peak / 1e9:.0f} GFLOP/s).")
        parts.append(_markdown([_titles(rows[0], _SPEED), *map(_speed_cells, rows)]))
    if figures["memory"]:
        rows = figures["memory"]
        parts.append("Peak memory of a training process, MB (of it beyond the import).")
        parts.append(_markdown([_titles(rows[0], _MEMORY), *map(_memory_cells, rows)]))
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
        row["model"], row["work"], str(row["batch"]), _number(ours["examples_per_second"]),
        _number(1e6 * ours["seconds"]), f"{row['share_of_sgemm']:.1%}",
    ]  # fmt: skip
    for name, side in row["sides"].items():
        if name in TITLES:
            cells += [_number(side["examples_per_second"]), _spread(side)]
    return tuple(cells)


def _memory_cells(row: Figures) -> tuple[str, ...]:
    cells = [row["model"], str(row["threads"]), str(row["batch"])]
    for name, side in row["sides"].items():
        peak, added = side["peak_bytes"], side["peak_bytes"] - side["import_bytes"]
        cells.append(f"{peak / 1e6:.0f} ({added / 1e6:.0f})")
        if name in TITLES:
            cells.append(f"{side['ratio']:.2f}")
    return tuple(cells)


# ---- on a GPU ----------------------------------------------------------------------------------


def table_of_gpu(figures: Figures) -> str:
    """The figures that `measure_on_gpu` returns: times, speeds, memory, ratios, what failed.

    A ratio is minicnn's speed by PyTorch's, of each one's best process, with the lowest and the
    highest of the rounds in brackets.
    """
    rows = figures["rows"]
    names = list(rows[0]["sides"])

    def of_sides(what: Callable[[Figures], float]) -> str:
        def cell(row: Figures, name: str) -> str:
            side = row["sides"][name]
            return "-" if "why" in side else _number(what(side))

        return _grid(rows, [SIDES_ON_GPU[name] for name in names], names, cell)

    def ratio(row: Figures, pair: tuple[str, str]) -> str:
        figures = row["ratios"].get(pair[0], {}).get(pair[1])
        return "-" if figures is None else _spread(figures)

    parts = [
        _heading_on_gpu(figures),
        "Microseconds a step.", of_sides(lambda side: 1e6 * side["seconds"]),
        "Examples/s.", of_sides(lambda side: side["examples_per_second"]),
        "Memory taken of the GPU, MB: weights, gradients, results, and blocks kept for later.",
        of_sides(lambda side: side["bytes"] / 1e6),
    ]  # fmt: skip
    pairs = list(dict.fromkeys((a, b) for r in rows for a, of in r["ratios"].items() for b in of))
    if pairs:
        titles = [f"{SIDES_ON_GPU[ours]} / {SIDES_ON_GPU[theirs]}" for ours, theirs in pairs]
        parts += ["How many times as fast.", _grid(rows, titles, pairs, ratio)]
    failures = [
        f"- {SIDES_ON_GPU[name]}, {row['model']}, {row['work']}, {row['batch']}: {side['why']}"
        for row in rows
        for name, side in row["sides"].items()
        if "why" in side
    ]
    return "\n\n".join([*parts, *(["Not measured:\n\n" + "\n".join(failures)] if failures else [])])


def _heading_on_gpu(figures: Figures) -> str:
    versions = figures["versions"]
    lines = [
        f"{figures['gpu']}, driver {versions['driver']}; minicnn {versions['minicnn']}, CuPy "
        f"{versions['cupy']} with CUDA {versions['cuda']}, NumPy {versions['numpy']}, Python "
        f"{versions['python']}."
    ]
    if "torch" in versions:
        lines.append(
            f"PyTorch {versions['torch']} with CUDA {versions['torch_cuda']}, eager as installed; "
            "its graphs with cudnn.benchmark and a fused optimiser."
        )
    lines.append(
        f"float32, TF32 off; best of {figures['rounds']} processes each (lowest - highest of the "
        "rounds)."
    )
    return "\n".join(lines)


def _grid(
    rows: Sequence[Figures], titles: Sequence[str], keys: Sequence[Any], cell: Callable
) -> str:
    """A line for each row, with a cell for each key."""
    about = ("model", "work", "batch")
    lines = [(*(str(row[name]) for name in about), *(cell(row, k) for k in keys)) for row in rows]
    return _markdown([(*about, *titles), *lines])


# ---- cells -------------------------------------------------------------------------------------


def _spread(figures: Figures) -> str:
    """A ratio, with the lowest and the highest of the rounds."""
    lowest, highest = figures["lowest_ratio"], figures["highest_ratio"]
    return f"{figures['ratio']:.2f} ({lowest:.2f} - {highest:.2f})"


def _number(x: float) -> str:
    """Three digits at least, thousands marked."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _markdown(rows: list[tuple[str, ...]]) -> str:
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
