"""The pictures of a run: curves, confusion matrix, samples with predictions, filters, maps.

Every function returns a `matplotlib.figure.Figure` of its own; pyplot and its global state are
never touched, so they work in threads, notebooks and without a display.  Figures are 8 inches wide:
at 800 pixels their text is as large as a web page's.
"""

import contextlib
import io
import math
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import ArgumentError, ShapeError
from ..serialization import write_file

# Okabe and Ito's colours, which colour-blind readers tell apart: https://jfly.uni-koeln.de/color
TRAIN, VALIDATION = "#0072B2", "#D55E00"
WRONG = VALIDATION
ERRORS = ("white", "#fdd0a2", "#f58634", "#8c2d04")  # one hue, from light to dark
TEXT, FAINT, PAPER = "#333333", "#8a8a8a", "#ececec"

WIDTH = 8.0  # inches
DPI = 200  # sharp when shown at half size
FORMATS = (".png", ".svg", ".pdf")
ACCURACY_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995)
MAX_NUMBERED = 20  # classes up to which a confusion matrix has room for numbers
MAX_NAME = 18  # characters of a class's name


def curves(history: Sequence[dict[str, Any]]) -> Any:
    """Loss (left) and accuracy (right) over the epochs, of training and of validation.

    A loss that falls by more than a factor of 10 is drawn on a logarithmic scale, and so is, where
    an accuracy is above 90 %, its distance to 100 %.  The epoch with the best validation accuracy
    (of equal ones that with the lower loss) is marked.

    Parameters
    ----------
    history
        A dict per epoch with the keys of `training.HISTORY`; a value that is None, NaN or infinite
        leaves a gap.
    """
    figure = _figure(3.1, layout="constrained")
    epochs = _column(history, "epoch")
    best = _best(_column(history, "val_acc_all"), _column(history, "val_loss_all"))
    for i, (title, key, form) in enumerate(
        [("Loss", "loss_all", "{:#.3g}".format), ("Accuracy", "acc_all", _percent)]
    ):
        ax = figure.add_subplot(1, 2, i + 1)
        _heading(ax, title)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(FAINT)
        ax.tick_params(colors=TEXT, labelsize=9)
        ax.grid(color=PAPER, lw=0.8)
        ax.set_axisbelow(True)
        series = [
            ("train", TRAIN, _column(history, f"train_{key}")),
            ("validation", VALIDATION, _column(history, f"val_{key}")),
        ]
        series = [s for s in series if np.isfinite(s[2]).any()]
        if not series:
            ax.text(0.5, 0.5, "no epoch yet", transform=ax.transAxes, color=FAINT, ha="center")
            continue
        for name, colour, values in series:
            ax.plot(epochs, values, color=colour, marker="o", markersize=3.5, lw=1.8, label=name)
        _scale(ax, epochs, np.concatenate([v for *_, v in series]), percent=i == 1)
        _label_ends(ax, epochs, series, form)
        if best is not None:
            ax.axvline(epochs[best], color=FAINT, lw=1, ls=":", zorder=0)
            best_value = [series[-1][2][best]]
            ax.plot([epochs[best]], best_value, "o", ms=9, mfc="none", mec=VALIDATION, mew=1.4)
            ax.set_title(f"best epoch {epochs[best]:g}", loc="right", color=FAINT, fontsize=9)
    return figure


def _column(history: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    """One key of all rows as float64, NaN for what is missing or not finite."""
    values = np.array([row.get(key) for row in history], np.float64)  # of None it makes NaN
    return np.where(np.isfinite(values), values, np.nan)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _best(accuracy: np.ndarray, loss: np.ndarray) -> int | None:
    """The row that a Trainer keeps: highest accuracy, of equal ones lowest loss."""
    rows = [i for i in range(len(accuracy)) if np.isfinite(accuracy[i])]
    return max(rows, key=lambda i: (accuracy[i], -np.nan_to_num(loss[i], nan=np.inf)), default=None)


def _scale(ax: Any, epochs: np.ndarray, values: np.ndarray, percent: bool) -> None:
    """Whole epochs below; at the left the scale that the values ask for."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    ax.set_xlim(np.nanmin(epochs) - 0.5, np.nanmax(epochs) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch", color=TEXT)
    low, high = np.nanmin(values), np.nanmax(values)
    if percent:
        if high > 0.9 and low < 1:
            _error_scale(ax, values)
        ax.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g} %")
    elif low > 0 and high / low > 10:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        ax.yaxis.set_minor_locator(NullLocator())


def _error_scale(ax: Any, accuracies: np.ndarray) -> None:
    """Draws accuracies by the logarithm of their distance to 1, and 1 itself as half the least."""
    errors = 1 - accuracies[np.isfinite(accuracies)]
    least, most = errors[errors > 0].min(), errors.max()
    perfect = least / 2
    ax.set_yscale(
        "function",
        functions=(lambda a: -np.log(np.maximum(1 - a, perfect)), lambda z: 1 - np.exp(-z)),
    )
    bottom, top = 1 - 1.2 * most, 1 - least / 1.2
    ticks = [t for t in ACCURACY_TICKS if bottom <= t <= top]
    if (errors == 0).any():
        top = 1.0
        ticks.append(1.0)
    ax.set_ylim(bottom, top)
    ax.set_yticks(ticks)


def _label_ends(ax: Any, epochs: np.ndarray, series: list[Any], form: Any) -> None:
    """Each line's name and last value beside its end, moved apart where the ends are close."""
    to_axes = ax.transScale + ax.transLimits  # data -> fractions of the axes
    labels = []
    for name, colour, values in series:
        last = np.flatnonzero(np.isfinite(values))[-1]
        height = to_axes.transform((epochs[last], values[last]))[1]
        labels.append([float(height), f"{name}\n{form(values[last])}", colour])
    labels.sort()
    gap, room = 0.22, 0.1
    for i in range(1, len(labels)):
        labels[i][0] = max(labels[i][0], labels[i - 1][0] + gap)
    labels[-1][0] = min(labels[-1][0], 1 - room)
    for i in range(len(labels) - 1, 0, -1):
        labels[i - 1][0] = min(labels[i - 1][0], labels[i][0] - gap)
    for height, text, colour in labels:
        ax.text(
            1.03, max(height, room / 2), text, color=colour, fontsize=9, va="center",
            transform=ax.transAxes,
        )  # fmt: skip


def confusion(matrix: Any, classes: Sequence[str]) -> Any:
    """Which class was taken for which: rows are the truth, columns the predictions.

    The diagonal is grey, whatever it holds, and the scale of colours belongs to the errors: each as
    its share of the row, on a square-root scale, so that a few confusions among a thousand show.
    The accuracy of each class stands at the right.

    Parameters
    ----------
    matrix
        (K, K) counts.
    classes
        K names.

    Raises
    ------
    ShapeError
        If the matrix is not square, or does not have a row for each class.
    """
    counts = _array(matrix)
    k = len(classes)
    if k == 0 or counts.shape != (k, k):
        raise ShapeError(
            f"confusion: expected a matrix of (classes, classes) = ({k}, {k}) and at least one "
            f"class, found {counts.shape}"
        )
    names, totals = _names(classes), counts.sum(1)
    share = np.divide(counts, totals[:, None], out=np.zeros((k, k)), where=totals[:, None] > 0)
    figure = _figure(7.0 if k > 3 else 4.0, layout="constrained")
    ax = figure.add_subplot()
    image = _draw_shares(ax, share)
    _name_axes(ax, names)
    total, right = counts.sum(), np.trace(counts)
    accuracy = f"accuracy {_percent(right / total)}, " if total else ""
    _heading(ax, f"{accuracy}{total - right:,.0f} of {total:,.0f} wrong")
    accuracies = np.where(totals > 0, np.diagonal(share), np.nan)
    if k <= MAX_NUMBERED:
        _write_counts(ax, counts, share, image)
        _write_accuracies(ax, accuracies)
    else:
        _dot_accuracies(ax, accuracies)
        _explain_colours(figure, ax, image)
    return figure


def _draw_shares(ax: Any, share: np.ndarray) -> Any:
    """The errors from white to dark orange, the diagonal in grey."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    errors = np.ma.masked_array(share, np.eye(len(share), dtype=bool))
    highest = errors.max() if len(share) > 1 else 0
    norm = PowerNorm(0.5, 0, max(float(highest), 1e-3))  # a scale even if there is no error
    colours = LinearSegmentedColormap.from_list("errors", ERRORS).with_extremes(bad=PAPER)
    return ax.imshow(errors, cmap=colours, norm=norm)


def _write_counts(ax: Any, counts: np.ndarray, share: np.ndarray, image: Any) -> None:
    size = min(10, 110 / len(counts))
    for i, j in np.argwhere(counts > 0):
        light = i == j or image.norm(share[i, j]) < 0.75
        ax.text(
            j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=size,
            color=(FAINT if i == j else TEXT) if light else "white",
        )  # fmt: skip


def _name_axes(ax: Any, names: list[str]) -> None:
    """Class names at both axes: all, or as many as can be read."""
    k = len(names)
    step = math.ceil(k / 40)
    shown = range(0, k, step)
    labels = [names[i] for i in shown]
    size = 10 if k <= 12 else 8 if k <= MAX_NUMBERED else 6
    long = max(map(len, labels)) > 3
    turned: Any = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if long else {}
    ax.set_xticks(shown, labels, fontsize=size, color=TEXT, **turned)
    ax.set_yticks(shown, labels, fontsize=size, color=TEXT)
    ax.set_xlabel("predicted", color=TEXT)
    ax.set_ylabel("true", color=TEXT)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if k <= MAX_NUMBERED:
        ax.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(k + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="white", lw=1.5)
        ax.tick_params(which="minor", length=0)


def _write_accuracies(ax: Any, accuracies: np.ndarray) -> None:
    """The share of each row that is right, beside the row."""
    k = len(accuracies)
    place = {"color": TEXT, "fontsize": min(10, 150 / k), "clip_on": False}
    ax.text(1.02, 1.01, "right", transform=ax.transAxes, va="bottom", **place)
    for i, a in enumerate(accuracies):
        text = "none" if np.isnan(a) else f"{100 * a:.1f} %"
        ax.text(1.02, i, text, transform=ax.get_yaxis_transform(), va="center", **place)


def _dot_accuracies(ax: Any, accuracies: np.ndarray) -> None:
    """The share of each row that is right, as a dot beside the row."""
    side = ax.inset_axes((1.02, 0, 0.12, 1), sharey=ax)
    side.plot(accuracies, range(len(accuracies)), "o", markersize=2.5, color=TRAIN)
    side.set_title("right", color=TEXT, fontsize=9)
    side.set_xlim(-0.05, 1.05)
    side.set_xticks([0, 1], ["0", "100 %"], fontsize=8, color=TEXT)
    side.tick_params(left=False, labelleft=False, color=PAPER)
    side.spines[:].set_visible(False)
    side.grid(axis="x", color=PAPER, lw=1)


def _explain_colours(figure: Any, ax: Any, image: Any) -> None:
    bar = figure.colorbar(image, ax=ax, location="bottom", shrink=0.6, aspect=50)
    ticks = [image.norm.vmax * share**2 for share in (0, 0.25, 0.5, 0.75, 1)]
    bar.set_ticks(ticks, labels=[f"{100 * t:.3g} %" for t in ticks], fontsize=8, color=TEXT)
    bar.set_label("share of the true class", color=TEXT, fontsize=9)
    bar.outline.set_visible(False)
    bar.minorticks_off()


def mistakes(
    images: Any,
    labels: Any,
    predicted: Any,
    probabilities: Any,
    classes: Sequence[str],
    most: int = 40,
) -> Any:
    """The samples that were classified wrongly, those that the model was surest of first.

    Each is titled with what it was taken for, what it is, and the probability given to the former:
    "7 for 9, 98 %".

    Parameters
    ----------
    images
        (N, C, H, W) of all samples, values in [0, 1], C = 1 or 3.
    labels, predicted
        (N,) class numbers.
    probabilities
        (N, K).
    classes
        K names.
    most
        How many to show.
    """
    x, truth, guess, sure = _samples("mistakes", images, labels, predicted, probabilities, classes)
    wrong = np.flatnonzero(truth != guess)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    if not len(wrong):
        figure = _figure(1.2)
        text = f"no mistakes: all {len(x):,} are right"
        figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, color=TEXT)
        return figure
    part = f", the {len(order)} surest" if len(order) < len(wrong) else ", surest first"
    heading = f"{len(wrong):,} of {len(x):,} wrong{part}"
    texts = _titles(guess[order], truth[order], sure[order], _names(classes))
    return _sheet(x[order], texts, np.zeros(len(order), bool), heading)


def predictions(
    images: Any, labels: Any, predicted: Any, probabilities: Any, classes: Sequence[str]
) -> Any:
    """Samples in the order given, titled with the predictions; the wrong ones are marked.

    Parameters
    ----------
    images
        (N, C, H, W), values in [0, 1], C = 1 or 3, N at least 1.
    labels
        (N,) class numbers, or None where the truth is not known: nothing is marked then.
    predicted, probabilities, classes
        As for `mistakes`.
    """
    known = predicted if labels is None else labels
    x, truth, guess, sure = _samples(
        "predictions", images, known, predicted, probabilities, classes
    )
    if not len(x):
        raise ShapeError("predictions: expected at least one image, found none")
    wrong = truth != guess
    heading = "" if labels is None else f"{wrong.sum():,} of {len(x):,} wrong"
    return _sheet(x, _titles(guess, truth, sure, _names(classes)), wrong, heading)


def _samples(
    name: str, images: Any, labels: Any, predicted: Any, probabilities: Any, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images, truth, prediction and its probability as arrays that fit each other."""
    x, truth, guess, p = map(_array, (images, labels, predicted, probabilities))
    n = len(x) if x.ndim else 0
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(f"{name}: expected images (N, 1 or 3, H, W), found {x.shape}")
    for what, shape, wanted in [
        ("labels", truth.shape, (n,)),
        ("predicted", guess.shape, (n,)),
        ("probabilities", p.shape, (n, len(classes))),
    ]:
        if shape != wanted:
            raise ShapeError(f"{name}: expected {what} {wanted}, found {shape}")
    for what, numbers in [("labels", truth), ("predicted", guess)]:
        if n and (numbers.min() < 0 or numbers.max() >= len(classes)):
            raise ArgumentError(
                f"{name}: expected {what} from 0 to {len(classes) - 1}, found "
                f"{numbers.min()} to {numbers.max()}"
            )
    return x, truth, guess, p[np.arange(n), guess]


def _titles(guess: Any, truth: Any, sure: Any, names: list[str]) -> list[str]:
    """ "7 for 9, 98 %" where wrong, "7, 98 %" where right; in two lines if names are long."""
    short = max(map(len, names)) <= 2
    texts = []
    for g, t, s in zip(guess, truth, sure, strict=True):
        instead = "" if g == t else f"{' ' if short else chr(10)}for {names[t]}"
        texts.append(f"{names[g]}{instead}, {100 * s:.0f} %")
    return texts


def _sheet(images: np.ndarray, texts: list[str], wrong: np.ndarray, heading: str) -> Any:
    """Images in rows, a title over each; the wrong ones framed, and titled in colour."""
    lines = max(text.count("\n") for text in texts) + 1
    longest = max(len(line) for text in texts for line in text.split("\n"))
    columns = min(8, int((WIDTH - 0.3) / (0.1 + 0.06 * longest)))
    rows = -(-len(images) // columns)
    cell = (WIDTH - 0.3) / columns  # inches
    tall = (cell - 0.1) * min(images.shape[2] / images.shape[3], 2.0)
    title, top = 0.12 + 0.15 * lines, 0.3 if heading else 0.0
    height = top + rows * (tall + title) + 0.1
    figure = _figure(height)
    if heading:
        side = 0.2 / WIDTH
        figure.text(side, 1 - 0.1 / height, heading, va="top", fontsize=11, color=TEXT)
        figure.text(
            1 - side, 1 - 0.12 / height, "predicted for true, probability",
            va="top", ha="right", fontsize=9, color=FAINT,
        )  # fmt: skip
    for i, (image, text) in enumerate(zip(images, texts, strict=True)):
        left = 0.15 + cell * (i % columns) + 0.05
        bottom = height - top - (i // columns + 1) * (tall + title)
        ax = figure.add_axes((left / WIDTH, bottom / height, (cell - 0.1) / WIDTH, tall / height))
        _show(ax, image)
        colour = WRONG if wrong[i] else TEXT if "for " in text else FAINT
        ax.set_title(text, fontsize=8.5, color=colour, pad=3, linespacing=1.05)
        ax.spines[:].set(visible=bool(wrong[i]), color=WRONG, linewidth=2.5)
    return figure


def _show(ax: Any, image: np.ndarray) -> None:
    """One (C, H, W) image, 0 black and 1 white, its pixels as they are."""
    pixels = np.clip(np.nan_to_num(image.astype(np.float64)), 0, 1).transpose(1, 2, 0)
    ax.imshow(
        pixels if pixels.shape[2] == 3 else pixels[:, :, 0],
        cmap="gray", vmin=0, vmax=1, interpolation="nearest",
    )  # fmt: skip
    ax.set_xticks([])
    ax.set_yticks([])


def filters(weight: Any, layer: str = "conv1") -> Any:
    """The filters of a convolution, all on one scale whose middle, white or grey, is 0.

    With three input channels each filter is one colour picture, with any other number a column of
    pictures, one per channel.  At most 64 filters are shown; with channels apart, 16 of 16.

    Parameters
    ----------
    weight
        (O, C, kh, kw).
    layer
        Its name, for the heading.
    """
    w = _array(weight).astype(np.float64)
    if w.ndim != 4 or not w.size:
        raise ShapeError(f"filters: expected weights (O, C, kh, kw), found {w.shape}")
    limit = float(np.nanmax(np.abs(np.where(np.isfinite(w), w, 0)))) or 1.0
    o, c, kh, kw = w.shape
    shown = w[:64] if c in (1, 3) else w[:16, :16]
    part = "" if shown.shape == w.shape else f", {shown.shape[0]} x {shown.shape[1]} shown"
    heading = f"{layer}: {o} filters of {c} x {kh} x {kw}{part}"
    if c == 3:
        colours = np.clip(0.5 + shown / (2 * limit), 0, 1).transpose(0, 2, 3, 1)
        return _mosaic(colours, min(len(shown), 8), heading, {})
    tiles = shown.swapaxes(0, 1).reshape(-1, kh, kw)  # a row per channel
    columns = min(len(shown), 8) if c == 1 else len(shown)
    return _mosaic(tiles, columns, heading, {"cmap": "RdBu", "vmin": -limit, "vmax": limit})


def feature_maps(maps: Any, layer: str = "conv1") -> Any:
    """What the channels of a layer answer to one image, all on one scale.

    Parameters
    ----------
    maps
        (C, H, W), as one image of a batch (N, C, H, W) has them; at most 64 channels are shown.
    layer
        The layer's name, for the heading.
    """
    x = _array(maps).astype(np.float64)
    if x.ndim != 3 or not x.size:
        raise ShapeError(f"feature_maps: expected maps (C, H, W), found {x.shape}")
    part = f", {64} shown" if len(x) > 64 else ""
    heading = f"{layer}: {len(x)} maps of {x.shape[1]} x {x.shape[2]}{part}"
    scale = {"cmap": "viridis", "vmin": float(np.nanmin(x)), "vmax": float(np.nanmax(x))}
    return _mosaic(x[:64], min(len(x), 8), heading, scale)


def _mosaic(tiles: np.ndarray, columns: int, heading: str, scale: dict[str, Any]) -> Any:
    """Tiles (n, h, w) or (n, h, w, 3) in rows on one pair of axes, with the scale beside them."""
    n, h, w = tiles.shape[:3]
    rows = -(-n // columns)
    gap = max(1, round(0.12 * w))
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *tiles.shape[3:]), np.nan)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        sheet[top : top + h, left : left + w] = tile
    wide = min(WIDTH - 0.9, columns * 1.1)
    figure = _figure(min(wide * sheet.shape[0] / sheet.shape[1] + 0.5, 14), layout="constrained")
    ax = figure.add_subplot()
    ax.set_axis_off()
    _heading(ax, heading)
    if not scale:
        ax.imshow(np.where(np.isnan(sheet), 1.0, sheet), interpolation="nearest")  # white gaps
        return figure
    image = ax.imshow(sheet, interpolation="nearest", **scale)
    bar = figure.colorbar(image, ax=ax, shrink=0.8, aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=TEXT, labelsize=8)
    return figure


def save(figure: Any, path: "str | os.PathLike[str]") -> None:
    """Writes a figure as PNG, SVG or PDF, by the path's suffix; whole or not at all.

    Raises
    ------
    ArgumentError
        For any other suffix.
    DataError
        If the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ArgumentError(f"{path}: a picture's name must end in {', '.join(FORMATS)}")
    write_file(path, render(figure, suffix[1:]))


def render(figure: Any, form: str = "png", dpi: int = DPI) -> bytes:
    """The bytes of a figure's file; form is "png", "svg" or "pdf"."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        # a class name that the font has no signs for is drawn as boxes: no reason to speak up
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(content, format=form, dpi=dpi)
    return content.getvalue()


# ---- what they share -------------------------------------------------------------------------


def _figure(height: float, **options: Any) -> Any:
    """An empty figure of the common width."""
    _import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor="white", dpi=100, **options)
    FigureCanvasAgg(figure)
    return figure


def _import_matplotlib() -> None:
    """Imports it though MPLBACKEND be wrong, which is an error there: nothing here needs a screen.

    A right one still holds for what else the process draws.
    """
    if "matplotlib" in sys.modules:
        return
    wanted = os.environ.pop("MPLBACKEND", "")
    try:
        import matplotlib
    finally:
        if wanted:
            os.environ["MPLBACKEND"] = wanted
    if wanted:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = wanted


def _heading(ax: Any, text: str) -> None:
    ax.set_title(text, loc="left", fontsize=11, color=TEXT)


def _array(x: Any) -> np.ndarray:
    """A Tensor of any kind, or whatever NumPy takes, on the host."""
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)


def _names(classes: Sequence[str]) -> list[str]:
    """Class names as they can be drawn: "9 - nine" as 9, long ones cut, no mathematical markup."""
    texts = [" ".join(str(c).encode(errors="replace").decode().split()) for c in classes]
    if all(" - " in text for text in texts):
        texts = [text.partition(" - ")[0] for text in texts]
    short = (t if len(t) <= MAX_NAME else f"{t[:9]}…{t[-7:]}" for t in texts)
    return [text.replace("$", r"\$") for text in short]
