"""The command line, `minicnn` or `python -m minicnn`; what the commands do is elsewhere."""

import inspect
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .errors import ArgumentError, MinicnnError, missing
from .exercises.commands import app as exercises
from .training import progress
from .training.progress import say
from .training.recipe import Recipe

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False,
    help="minicnn: a deep-learning engine to read, and to train LeNet with.",
    epilog="--debug, anywhere, shows the traceback of an error.",
)  # fmt: skip
app.add_typer(exercises, name="exercises")

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")]
_ON_RESUME = [f.name for f in fields(Recipe) if f.metadata["on_resume"]]


def _version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        say(f"minicnn {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None:
    """Takes what stands before the command; shows the help where there is none."""
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(2)


def _with_recipe(command: Any) -> Any:
    """Has an option for each field of Recipe where a command takes `**recipe`."""
    signature = inspect.signature(command)
    first, *own, _ = signature.parameters.values()
    types = get_type_hints(Recipe)
    options = [
        inspect.Parameter(
            f.name, first.kind, default=f.default,
            annotation=Annotated[types[f.name], typer.Option(**f.metadata["option"])],
        )
        for f in fields(Recipe)
    ]  # fmt: skip
    command.__signature__ = signature.replace(parameters=[first, *options, *own])
    return command


@app.command()
@_with_recipe
def train(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder for the run.", show_default="runs/MODEL-DATA-NUMBER"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with the run in this folder, with the recipe it was begun with; only "
            f"{', '.join('--' + name for name in _ON_RESUME)} may be given anew."
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files into the run folder too.")
    ] = False,
    **recipe: Any,
) -> None:
    """Train a model, test its best weights, and keep everything in a run folder."""
    from . import training

    try:
        if resume is not None:
            given = [name for name in ("out", *recipe) if _given(context, name)]
            for name in given:
                if name not in _ON_RESUME:
                    option = "--" + name.replace("_", "-")
                    raise typer.BadParameter(
                        f"takes the recipe from the run folder; leave out {option}",
                        param_hint="--resume",
                    )
            changes = {name: recipe[name] for name in given}
            training.resume(resume, tensorboard=tensorboard, **changes)
        else:
            training.train(Recipe(**recipe), out, tensorboard=tensorboard)
    except KeyboardInterrupt as stop:  # said and saved already; the shell's code for a signal
        raise SystemExit(128 + getattr(stop, "signal", signal.SIGINT)) from None


def _given(context: typer.Context, name: str) -> bool:
    """Whether the user has written this option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@app.command()
def test(run: RunFolder, device: DeviceOption = "cpu") -> None:  # noqa: PT028
    """Test the best weights of a run: accuracy, each class, predictions against the truth."""
    from . import training

    scores, classes = training.test(run, device), training.read_config(run)["classes"]
    say(f"loss {scores.loss:.4f}, accuracy {scores.accuracy:.2%} of {len(scores.labels):,}")
    width = max(map(len, classes))
    for name, share, row in zip(classes, scores.per_class, scores.confusion, strict=True):
        say(f"  {name:{width}}  {share:7.2%} of {row.sum():,}")
    say("some predictions (truth > prediction where they differ):")
    some = scores.some(20)
    both = zip(scores.labels[some], scores.predicted[some], strict=True)
    pairs = [(classes[t], classes[p]) for t, p in both]
    say("  " + ", ".join(t if t == p else f"{t} > {p}" for t, p in pairs))
    if (run / "predictions.png").exists():  # matplotlib may be missing
        say(f"pictures: {run / 'predictions.png'}, {run / 'mistakes.png'}, {run / 'confusion.png'}")


@app.command()
def predict(
    run: RunFolder,
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or other pictures.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    device: DeviceOption = "cpu",
) -> None:
    """Say what is on pictures: light on dark or dark on light, of any size."""
    from .training import predict as probabilities_of
    from .training import read_config
    from .training.preprocessing import bars

    classes = read_config(run)["classes"]
    for path, probabilities in zip(images, probabilities_of(run, images, device), strict=True):
        say(f"{path}\n{bars(classes, probabilities, top)}")


@app.command()
def summary(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="See `minicnn models`.")],
    num_classes: Annotated[int, typer.Option(min=1, help="Of the last layer.")] = 10,
    size: Annotated[
        str | None,
        typer.Option(metavar="CxHxW", help="Of the images.", show_default="what the model expects"),
    ] = None,
) -> None:
    """Show a model's layers: output shape, parameters, connections, multiply-adds, memory."""
    from .models import make
    from .summary_table import summary as show

    net = make(model, num_classes)
    show(net, _size(size) if size else net.input_shape)


def _size(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise typer.BadParameter(f"{text!r} is not CxHxW, as in 1x28x28", param_hint="--size")
    return tuple(map(int, parts))


@app.command()
def models() -> None:
    """List the models."""
    from .models import MODELS, make

    for name in MODELS:
        net = make(name)
        parameters = sum(p.numel() for p in net.parameters())
        size = "x".join(map(str, net.input_shape))
        doc = (type(net).__doc__ or "").partition("\n")[0]  # none with python -OO
        say(f"{name:14} {size:10} {parameters:12,} parameters  {doc}")


@app.command()
def datasets() -> None:
    """List the data sets, and where each is looked for."""
    from .datasets import DATASETS

    for name, about in DATASETS.items():
        size = "x".join(map(str, about.shape))
        say(
            f"{name}: {about.title}; {size}, {len(about.classes)} classes, {about.train:,} images "
            f"to train with, {about.test:,} to test\n"
            f"  looked for: {about.places}\n  source: {about.source}\n  licence: {about.licence}"
        )
    say(
        "any other: a folder with train/ and test/ of class folders, or an .npz file with "
        "x_train, y_train, x_test, y_test"
    )


@app.command()
def bench(
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    against: Annotated[
        str | None,
        typer.Option(
            help="torch: run PyTorch too, as installed and tuned; on a GPU eager and with CUDA "
            "graphs.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        str,
        typer.Option(
            help="Of lenet-sigmoid, lenet-colour, lenet (CPU only), alexnet, with commas.",
            show_default="all but alexnet; on a GPU all but lenet",
        ),
    ] = "",
    batch: Annotated[
        str,
        typer.Option(help="Batch sizes, with commas.", show_default="the model's, up to 1024"),
    ] = "",
    threads: Annotated[
        str,
        typer.Option(help="Numbers of threads, with commas.", show_default="1 and all cores"),
    ] = "",
    kernels: Annotated[
        str | None, typer.Option(help="A name for minicnn.kernels.use.", show_default=False)
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it works: one round of a few steps.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures for machines instead.")
    ] = False,
) -> None:
    """Measure how fast models train and predict here, and their memory; beside PyTorch if asked.

    Shares of the sgemm peak count multiply-adds of convolutions and linear layers.
    """
    import json

    from .bench import measure, measure_on_gpu, table, table_of_gpu

    names = [name for name in models.split(",") if name]
    batches, numbers = _whole_numbers(batch, "--batch"), _whole_numbers(threads, "--threads")
    if device == "cuda":
        if numbers or kernels:
            option = "--threads" if numbers else "--kernels"
            raise typer.BadParameter("goes with --device cpu only", param_hint=option)
        figures = measure_on_gpu(names, batches, against=against, quick=quick)
        say(json.dumps(figures, indent=2) if as_json else table_of_gpu(figures))
        return
    if device != "cpu":
        raise typer.BadParameter(f"{device!r} is not cpu or cuda", param_hint="--device")
    figures = measure(names, batches, numbers, against=against, kernels=kernels, quick=quick)
    say(json.dumps(figures, indent=2) if as_json else table(figures))


def _whole_numbers(text: str, option: str) -> list[int]:
    parts = [part for part in text.split(",") if part]
    if not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise typer.BadParameter(f"{text!r} is not N,N,..., as in 1,64", param_hint=option)
    return list(map(int, parts))


@app.command()
def warmup(
    float64: Annotated[bool, typer.Option("--float64", help="Those for float64 too.")] = False,
) -> None:
    """Compile all CPU kernels ahead of time, so that no first step has to wait for it."""
    import time

    import numpy as np

    from . import kernels

    kernels.use("numba")
    if kernels.which("conv2d") == "reference":
        raise MinicnnError("warmup: there is nothing to compile without Numba")
    from .kernels import numba_cpu

    start, dtypes = time.perf_counter(), ["float32", "float64"] if float64 else ["float32"]
    for dtype in dtypes:
        numba_cpu.warm_up(np.dtype(dtype))
    seconds = time.perf_counter() - start
    say(f"kernels for {' and '.join(dtypes)}: ready in {seconds:.1f} s, {numba_cpu.cache_folder()}")


@app.command()
def gradcheck(
    target: Annotated[
        str | None,
        typer.Argument(metavar="FILE.py:NAME", help="A function or class.", show_default=False),
    ] = None,
    op: Annotated[
        str | None, typer.Option(help="What it is meant to be; alone: the engine's own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of inputs and upstream gradient.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The report for machines.")] = False,
) -> None:
    """Check a gradient against differences, and say what is wrong with it.

    FILE.py has NAME(*inputs), NAME_backward(g, *inputs) and NAME_inputs(rng); or a class.
    """
    from .gradcheck.learner_file import check_file
    from .gradcheck.tensors import check_op

    if target is None and op is None:
        raise typer.BadParameter("give FILE.py:NAME, or --op for one of the engine's own")
    if target is None:
        ok, text = check_op(str(op), seed)
    else:
        report = check_file(target, op, seed)
        ok, text = report.ok, report.to_json() if as_json else str(report)
    say(text)
    raise typer.Exit(0 if ok else 1)


@app.command()
def bugs(
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="As GB044; without one, the list.", show_default=False),
    ] = None,
) -> None:
    """Show the catalogue of gradient bugs, or one: wrong line, right line, an example."""
    from .gradcheck.bugs import pages

    say(pages.page(code) if code else pages.listing())


def main() -> None:
    """Runs a command; an error is one line and exit code 1, wrong usage 2, a signal 128 + its own.

    With --debug an error shows its traceback.
    """
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    code: Any = 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        code = app(arguments, standalone_mode=False) or int(progress.lost)
    except (KeyboardInterrupt, typer.Abort):
        code = 128 + signal.SIGINT
    except Exception as error:
        if debug:
            raise
        print(f"minicnn: {_one_line(error)}", file=sys.stderr)
        code = 2 if isinstance(error, ArgumentError) or _is_usage(error) else 1
    sys.exit(code)


def _end(number: int, frame: Any) -> None:
    """Ends the program by an exception, so that its workers and temporary files go with it."""
    raise SystemExit(128 + number)


def _is_usage(error: Exception) -> bool:
    """Whether typer refused the arguments; where it keeps the class changes between versions."""
    return any(kind.__name__ == "UsageError" for kind in type(error).__mro__)


def _one_line(error: Any) -> str:
    """What went wrong; what minicnn did not foresee says so."""
    if _is_usage(error):
        return " ".join(error.format_message().split()) + " (--help tells more)"
    text = " ".join(str(error).split())
    if isinstance(error, (MinicnnError, OSError)):
        return text
    if isinstance(error, ImportError) and (install := missing(error)):
        return install
    if isinstance(error, MemoryError):
        return f"out of memory: {text or 'a smaller --batch-size needs less'}"
    return f"{type(error).__name__}: {text} (not foreseen: --debug shows where)"
