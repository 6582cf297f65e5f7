"""Shows Markdown and code in the terminal; plain, and in ASCII, where it can do no more."""

import os
import sys

from ..training.progress import say

# What the texts may use beyond ASCII, and what stands for it where the encoding lacks it.  One
# character for one where pictures and columns need it.
PLAIN = {
    "·": "*", "×": "x", "−": "-", "→": ">", "←": "<", "↑": "^", "↓": "v", "≈": "~", "≤": "<=",
    "≥": ">=", "≠": "!=", "∂": "d", "Σ": "sum", "√": "sqrt", "²": "^2", "³": "^3", "ᵀ": "^T",
    "₀": "0", "₁": "1", "₂": "2", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta",
    "ε": "eps", "η": "eta", "μ": "mu", "σ": "sigma", "π": "pi", "Δ": "delta ", "…": "...",
    "─": "-", "│": "|", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+",
    "┴": "+", "┼": "+", "█": "#", "▓": "%", "▒": ":", "░": ".", "●": "o", "○": ".", "▲": "^",
    "▼": "v", "◄": "<", "►": ">",
}  # fmt: skip
WIDTH = 80


def plain(text: str) -> str:
    """The text in ASCII."""
    return "".join(PLAIN.get(character, character) for character in text)


def _fitting(text: str) -> str:
    """The text as standard output can take it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return plain(text)
    return text


def _rich_terminal() -> bool:
    if not sys.stdout.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown", ""):
        return False
    return (sys.stdout.encoding or "").lower().startswith("utf")


def show(markdown: str) -> None:
    """Prints a page: rendered on a terminal that can, as it was written elsewhere."""
    text = _fitting(markdown.strip())
    if not _rich_terminal():
        say(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(highlight=False)
    console.print(
        Markdown(text, code_theme="ansi_dark", hyperlinks=False), width=min(console.width, WIDTH)
    )


def show_code(code: str, language: str = "python") -> None:
    """Prints code, or a diff: coloured on a terminal that can."""
    show(f"```{language}\n{code.rstrip()}\n```") if _rich_terminal() else say(_fitting(code))


def show_line(text: str) -> None:
    """Prints text that is no Markdown."""
    say(_fitting(text))
