"""PyTorch programs, as tutorials have them, run with only their import lines changed.

Each file of tests/tutorials runs twice, as it is and with minicnn for torch; what the two print
must agree, numbers to 1e-5.  Three known differences are hidden by `plain`, and spaces by the
comparison: a shape is a tuple here, `(2, 3)`, not `torch.Size([2, 3])`; a dtype is NumPy's,
`float64`, not `torch.float64`; and PyTorch ends some lines with a space.  A program that prints
`torch.` for another reason would have that hidden too.
"""

import contextlib
import importlib
import io
import re
import warnings
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "tutorials"
PROGRAMS = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "synthetic")


def imported(source, library):
    """The program with its import lines changed, and no others."""
    text = re.sub(r"^import torch$", f"import {library} as torch", source, flags=re.M)
    text = re.sub(r"^import torch\.(\S+) as", rf"import {library}.\1 as", text, flags=re.M)
    text = re.sub(r"^import torch\.(\S+)$", rf"import {library}.\1", text, flags=re.M)
    return re.sub(r"^from torch(\S*) import", rf"from {library}\1 import", text, flags=re.M)


def printed(name, library, folder, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.chdir(folder)
    source = imported((FOLDER / f"{name}.py").read_text(), library)
    code = compile(source, f"{name} ({library})", "exec")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        if library == "torch":
            warnings.simplefilter("ignore")
        try:
            exec(code, {"__name__": "__main__"})
        finally:  # what a program sets for its own process
            importlib.import_module(library).set_printoptions(profile="default")
    return out.getvalue()


NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


def plain(text):
    """Shapes and types as Python and NumPy write them: what is known to differ is made alike."""
    text = re.sub(r"torch\.Size\(\[(\d+)\]\)", r"(\1,)", text)
    text = re.sub(r"torch\.Size\(\[([^]]*)\]\)", r"(\1)", text)
    return text.replace("torch.", "").replace(" \n", "\n")


def assert_agree(found, expected):
    found, expected = plain(found).splitlines(), plain(expected).splitlines()
    for line, (a, b) in enumerate(zip(found, expected, strict=False), 1):
        assert NUMBER.sub("#", a).split() == NUMBER.sub("#", b).split(), f"line {line}: {a} / {b}"
        for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True):
            assert float(x) == pytest.approx(float(y), rel=1e-5, abs=1e-5), f"{line}: {a} / {b}"
    assert len(found) == len(expected)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, tmp_path, monkeypatch):
    expected = printed(name, "torch", tmp_path, monkeypatch)
    assert_agree(printed(name, "minicnn", tmp_path, monkeypatch), expected)
