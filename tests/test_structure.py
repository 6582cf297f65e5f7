"""The floor plan: imports go down only, what one reads stays short, import stays light."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The floors of the house, lowest first; a module belongs to the longest prefix that fits.
FLOORS = {
    "minicnn.errors": 0, "minicnn.shapes": 0, "minicnn.arrays": 0, "minicnn.kernels": 0,
    "minicnn.devices": 1, "minicnn.modes": 1, "minicnn.autograd": 1, "minicnn.fusion": 1,
    "minicnn.ops": 2, "minicnn.inplace": 2,
    "minicnn.methods.operators": 3, "minicnn.gradcheck": 3,
    "minicnn.random": 4, "minicnn.creation": 4, "minicnn.methods": 4,
    "minicnn.nn": 4, "minicnn.optim": 4, "minicnn.data": 4, "minicnn.datasets": 4,
    "minicnn.transforms": 4,
    "minicnn.serialization": 4, "minicnn.untrusted": 4,
    "minicnn.models": 5, "minicnn.training": 5, "minicnn.cli": 5, "minicnn.__main__": 5,
    "minicnn.allocator": 5, "minicnn.bench": 5, "minicnn.summary_table": 5,
    "minicnn.exercises": 5,
    "minicnn.accelerator": 5, "minicnn.backends": 5, "minicnn.cuda": 5, "minicnn.utils": 5,
    "minicnn": 5,
}  # fmt: skip

CORE = [
    "minicnn/errors.py", "minicnn/shapes.py", "minicnn/arrays.py", "minicnn/devices.py",
    "minicnn/modes.py", "minicnn/autograd.py", "minicnn/inplace.py",
    "minicnn/methods/operators.py", "kernels/__init__.py", "kernels/reference.py",
]  # fmt: skip
CORE_LINES = 2300
# How calls are fused: the core can be read, and every op understood, without it.
FUSION = ["minicnn/fusion.py", "kernels/calls.py"]
READING_PATH = [
    "minicnn/autograd.py", "kernels/reference.py", "minicnn/ops/conv.py", "minicnn/ops/pool.py",
]  # fmt: skip
# Statements of these files; 757 at 6e173ea, before calls were fused, and a tenth more.
PATH_STATEMENTS = 832
FILE_STATEMENTS = 400


def sources():
    own = [p for p in ROOT.glob("minicnn/**/*.py") if "kernels" not in p.relative_to(ROOT).parts]
    return sorted([*ROOT.glob("kernels/**/*.py"), *own])


def module_name(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "kernels":
        parts.insert(0, "minicnn")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor(module):
    while module not in FLOORS:
        module, _, last = module.rpartition(".")
        assert module, f"{last} has no floor: name it in FLOORS"
    return FLOORS[module]


def imports_of(path, text=None):
    """Every minicnn module that a file imports, in functions too."""
    package = (
        module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    )
    for node in ast.walk(ast.parse(text if text is not None else path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "minicnn")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([node.module] if node.module else [])])
            if base.split(".")[0] == "minicnn":
                for a in node.names:
                    yield f"{base}.{a.name}" if _is_module(f"{base}.{a.name}") else base


def _is_module(name):
    place = ROOT / name.replace(".", "/").replace("minicnn/kernels", "kernels")
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def climbs(path, text=None):
    own = module_name(path)
    return [m for m in imports_of(path, text) if floor(m) > floor(own) and own != "minicnn"]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    assert climbs(path) == []


def test_an_import_that_goes_up_is_seen():
    op = ROOT / "minicnn/ops/conv.py"
    inside = "def f():\n    from ..nn.module import Module"
    for line in ("from ..nn import Module", "from .. import nn", "import minicnn.nn",
                 "from ..methods import reshape", inside):  # fmt: skip
        assert climbs(op, line), line
    assert not climbs(op, "from ..autograd import Function\nfrom . import linear\nimport numpy")
    assert climbs(ROOT / "kernels/reference.py", "from ..autograd import Tensor")


def code_lines(path, text=None):
    """Lines of code: no blanks, comments, docstrings or samples (what feeds only the tests)."""
    text = path.read_text() if text is None else text
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT,
                              tokenize.DEDENT, tokenize.ENDMARKER):  # fmt: skip
            lines.update(range(token.start[0], token.end[0] + 1))
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            first = node.body[0]
            lines -= set(range(first.lineno, first.end_lineno + 1))
        if _feeds_samples(node):
            top = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            lines -= set(range(top, node.end_lineno + 1))
    return len(lines)


def _feeds_samples(node):
    """`samples = ...`, an import for it, or a function of rng, which makes samples."""
    if isinstance(node, ast.FunctionDef):
        return bool(node.args.args) and node.args.args[0].arg == "rng"
    if isinstance(node, ast.ImportFrom):
        return node.module == "samples"
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "samples"


def test_what_counts_as_a_line_of_code():
    text = '"""Doc."""\n\n# note\nx = 1  # why\n\n\n'
    text += 'def f(a,\n      b):\n    """Doc."""\n    return a\n'
    assert code_lines(None, text) == 4
    sampled = (
        "class A:\n    @staticmethod\n    def samples(rng):\n        yield sample(1)\n    y = 2\n"
    )
    assert code_lines(None, sampled) == 2


def statements(path, text=None):
    """Statements, however they are packed into lines: no docstrings and no samples."""

    def below(node):
        parts = [c for c in ast.iter_child_nodes(node) if not _feeds_samples(c)]
        own = sum(isinstance(c, ast.stmt) and not _is_text(c) for c in parts)
        return own + sum(map(below, parts))

    return below(ast.parse(path.read_text() if text is None else text))


def _is_text(node):
    """A docstring, of an attribute too."""
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def test_what_counts_as_a_statement():
    plain = '"""Doc."""\nimport a\n\n\ndef f(x):\n    """Doc."""\n    if x:\n        y = 1\n'
    assert statements(None, plain) == 4
    plain += "    else:\n        y = 2\n    return (\n        y\n    )\n"
    assert statements(None, plain) == 6
    packed = 'import a\ndef f(x):\n    if x: y = 1; z = 2\n    else: y = 2; z = 3\n    "Not code"\n'
    assert statements(None, packed) == 7
    assert statements(None, "def _of(rng):\n    yield 1\nsamples = _of\n") == 0


def core_counts(count=code_lines):
    """How long each file of the core is, by name: in lines of code, or in statements."""
    ops = [p for p in ROOT.glob("minicnn/ops/*.py") if p.stem != "samples"]
    return {n: count(ROOT / n) for n in [*CORE, *sorted(str(p.relative_to(ROOT)) for p in ops)]}


def test_the_core_stays_short(capsys):
    lines, counts = core_counts(), core_counts(statements)
    total, path = sum(lines.values()), sum(counts[name] for name in READING_PATH)
    rows = [f"{lines[n]:5d}  {counts[n]:5d}  {n}" for n in lines]
    rows += [f"{total:5d} lines of code: the core (at most {CORE_LINES})"]
    rows += [f"{path:5d} statements: the reading path (at most {PATH_STATEMENTS})"]
    fusing = sum(code_lines(ROOT / name) for name in FUSION)
    rows += [f"{fusing:5d} lines of code: fusion, which it can be read without"]
    with capsys.disabled():
        print("\nLines of code, and statements", *rows, sep="\n")
    assert total <= CORE_LINES
    assert path <= PATH_STATEMENTS
    assert max(*counts.values(), *(statements(ROOT / n) for n in FUSION)) <= FILE_STATEMENTS


def test_import_is_light():
    """`import minicnn` loads none of the heavy packages; they come when they are first used."""
    heavy = ("numba", "matplotlib", "typer", "rich", "safetensors", "PIL", "cupy", "torch")
    code = f"import sys, minicnn; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_kernels_are_imported_under_one_name_only():
    code = "import kernels"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "import this package as minicnn.kernels" in out.stderr


def test_every_package_is_listed_for_the_wheel():
    import configparser

    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {module_name(p) for p in sources() if p.name == "__init__.py"}
    assert listed == found
