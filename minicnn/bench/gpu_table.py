"""What `minicnn bench --device cuda` prints of its figures: aligned text that is Markdown too."""

from collections.abc import Callable, Sequence
from typing import Any

from .table import Figures, markdown, number, spread

SIDES = {
    "minicnn": "minicnn", "minicnn-graph": "minicnn, graph",
    "torch": "PyTorch", "torch-graph": "PyTorch, graph",
}  # fmt: skip
ROW = ("model", "work", "batch")


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
            return "-" if "why" in side else number(what(side))

        return _grid(rows, [SIDES[name] for name in names], names, cell)

    parts = [
        _heading(figures),
        "Microseconds a step.", of_sides(lambda side: 1e6 * side["seconds"]),
        "Examples/s.", of_sides(lambda side: side["examples_per_second"]),
        "Memory taken of the GPU, MB: weights, gradients, results, and blocks kept for later.",
        of_sides(lambda side: side["bytes"] / 1e6),
    ]  # fmt: skip
    pairs = list(dict.fromkeys(pair for row in rows for pair in _pairs(row)))
    if pairs:
        titles = [f"{SIDES[ours]} / {SIDES[theirs]}" for ours, theirs in pairs]
        parts += ["How many times as fast.", _grid(rows, titles, pairs, _ratio)]
    failures = _failures(rows)
    return "\n\n".join([*parts, *(["Not measured:\n\n" + failures] if failures else [])])


def _heading(figures: Figures) -> str:
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


def _pairs(row: Figures) -> list[tuple[str, str]]:
    return [(ours, theirs) for ours, rivals in row["ratios"].items() for theirs in rivals]


def _ratio(row: Figures, pair: tuple[str, str]) -> str:
    figures = row["ratios"].get(pair[0], {}).get(pair[1])
    return "-" if figures is None else spread(figures)


def _grid(
    rows: Sequence[Figures], titles: Sequence[str], keys: Sequence[Any], cell: Callable
) -> str:
    """A line for each row, with a cell for each key."""
    lines = [(*(str(row[name]) for name in ROW), *(cell(row, k) for k in keys)) for row in rows]
    return markdown([(*ROW, *titles), *lines])


def _failures(rows: Sequence[Figures]) -> str:
    return "\n".join(
        f"- {SIDES[name]}, {row['model']}, {row['work']}, {row['batch']}: {side['why']}"
        for row in rows
        for name, side in row["sides"].items()
        if "why" in side
    )
