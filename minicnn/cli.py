"""The command line, `minicnn` or `python -m minicnn`."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import DataError, MinicnnError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="minicnn: a deep-learning engine to read, and to train LeNet with.",
)  # fmt: skip


@app.callback()
def _commands() -> None:
    """Makes `train` a command of its own while it is the only one."""


@app.command()
def train(
    model: Annotated[str, typer.Option(help="lenet, lenet5, lenet-sigmoid, ...")] = "lenet",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training set.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per step.")] = 64,
    lr: Annotated[float, typer.Option(min=0, help="The highest learning rate.")] = 4e-3,
    val_share: Annotated[
        float, typer.Option(min=0.001, max=0.9, help="Share of the training set for validation.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Of weights, order and dropout.")] = 0,
    limit: Annotated[
        int, typer.Option(min=0, help="Use only so many images of each set; 0 for all.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Folder for weights and history.")] = Path("runs/last"),
) -> None:
    """Train a model on MNIST (inside the package), and test its best weights."""
    from .data import Subset, random_split
    from .datasets import MNIST
    from .models import make
    from .random import manual_seed
    from .training import Trainer, evaluate, save_run

    start = time.perf_counter()
    _check_folder(out)  # before the work, not after it
    manual_seed(seed)
    net = make(model)
    full: Any = MNIST(train=True)
    test: Any = MNIST(train=False)
    if 0 < limit < 20:
        raise typer.BadParameter("must be 0 or at least 20", param_hint="--limit")
    if limit:
        full, test = (Subset(d, range(min(limit, len(d)))) for d in (full, test))
    kept, val = random_split(full, [1 - val_share, val_share])
    parameters = sum(p.numel() for p in net.parameters())
    print(
        f"{model}: {parameters:,} parameters; {len(kept):,} images to train with, {len(val):,} to "
        f"validate, {len(test):,} to test"
    )
    trainer = Trainer(net, kept, val, epochs=epochs, batch_size=batch_size, lr=lr)
    with _Progress(epochs * len(trainer.loader), batch_size) as progress:

        def after_epoch(row: dict[str, Any]) -> None:
            progress.epoch(row)
            save_run(out, trainer, model)

        try:
            trainer.fit(progress.batch, after_epoch)
        except KeyboardInterrupt:
            done = f"the best weights so far are in {out}" if trainer.best else "nothing is saved"
            print(f"stopped; {done}", file=sys.stderr)
            raise
    _, accuracy = evaluate(net, test)
    best = trainer.best
    assert best is not None
    print(
        f"test accuracy {accuracy:.2%} with the weights of epoch {best['epoch']} (best on "
        f"validation: {best['val_acc_all']:.2%}); {time.perf_counter() - start:.0f} s"
    )
    print(f"weights and history are in {out}")


def _check_folder(out: Path) -> None:
    """Makes the folder and writes into it, so that a mistake shows now."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise DataError(f"--out {out}: cannot be written: {error.strerror}") from None


class _Progress:
    """A bar on a terminal, and a line per epoch everywhere."""

    def __init__(self, steps: int, batch_size: int) -> None:
        self.bar: Any = None
        if sys.stdout.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), transient=True
            )
            self.task = self.bar.add_task("", total=steps)
        self.batch_size, self.done, self.start = batch_size, 0, time.perf_counter()

    def __enter__(self) -> "_Progress":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def batch(self, now: dict[str, Any]) -> None:
        """Moves the bar by one step."""
        self.done += 1
        if self.bar is None:
            return
        speed = self.done * self.batch_size / (time.perf_counter() - self.start)
        text = (
            f"epoch {now['epoch']}  loss {now['loss']:.4f}  accuracy {now['accuracy']:.2%}  "
            f"{speed:,.0f} images/s"
        )
        self.bar.update(self.task, completed=self.done, description=text)

    def epoch(self, row: dict[str, Any]) -> None:
        """Prints the line of one epoch."""
        line = (
            f"epoch {row['epoch']:2d}  loss {row['train_loss_all']:.4f}  "
            f"accuracy {row['train_acc_all']:.2%}  val loss {row['val_loss_all']:.4f}  "
            f"accuracy {row['val_acc_all']:.2%}  {row['seconds']:.1f} s"
        )
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.console.print(line, highlight=False)


def main() -> None:
    """Runs a command; an error of minicnn's is one line and exit code 1."""
    try:
        app()
    except (MinicnnError, OSError) as error:
        print(f"minicnn: {error}", file=sys.stderr)
        sys.exit(1)
