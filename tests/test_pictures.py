"""Pictures: what their axes, lines, cells and texts say, and that they are saved whole."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

import minicnn as mc
from minicnn.errors import ArgumentError, DataError, ShapeError
from minicnn.training import pictures

DIGITS = [f"{i} - name" for i in range(10)]


def row(epoch, train_loss, val_loss, train_acc, val_acc):
    return {
        "epoch": epoch, "train_loss_all": train_loss, "val_loss_all": val_loss,
        "train_acc_all": train_acc, "val_acc_all": val_acc, "learning_rate": 1e-3, "seconds": 2.5,
    }  # fmt: skip


HISTORY = [
    row(1, 0.9, 0.5, 0.70, 0.80),
    row(2, 0.4, 0.3, 0.80, 0.85),
    row(3, 0.3, 0.35, 0.83, 0.84),
]


def texts(figure):
    """All that is written on a figure."""
    from matplotlib.text import Text

    figure.canvas.draw()
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


def rgb(figure):
    """The figure's pixels."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255


# ---- curves ----------------------------------------------------------------------------------


def test_curves_draw_loss_left_and_accuracy_right():
    figure = pictures.curves(HISTORY)
    loss, accuracy = figure.axes
    assert loss.get_position().x1 < accuracy.get_position().x0
    for ax, key in [(loss, "loss_all"), (accuracy, "acc_all")]:
        lines = {line.get_label(): line for line in ax.lines}
        for name, short in [("train", "train"), ("validation", "val")]:
            assert list(lines[name].get_xdata()) == [1, 2, 3]
            assert list(lines[name].get_ydata()) == [r[f"{short}_{key}"] for r in HISTORY]
    said = texts(figure)
    assert {"Loss", "Accuracy", "train\n0.300", "validation\n0.350"} <= set(said)
    assert {"train\n83.00 %", "validation\n84.00 %"} <= set(said)
    assert said.count("best epoch 2") == 2


def marked(ax):
    """The epoch and value that a ring is drawn around."""
    rings = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    return [(*r.get_xdata(), *r.get_ydata()) for r in rings]


def test_the_best_epoch_is_the_trainers():
    loss, accuracy = pictures.curves(HISTORY).axes
    assert (marked(loss), marked(accuracy)) == ([(2, 0.3)], [(2, 0.85)])
    tie = [*HISTORY, row(4, 0.2, 0.29, 0.86, 0.85)]
    assert marked(pictures.curves(tie).axes[1]) == [(4, 0.85)]


def test_curves_of_one_epoch():
    figure = pictures.curves(HISTORY[:1])
    figure.canvas.draw()
    for ax in figure.axes:
        assert [t for t in ax.get_xticks() if 0.5 <= t <= 1.5] == [1]
        assert len(ax.lines[0].get_xdata()) == 1
        assert ax.lines[0].get_marker() == "o"  # a line through one point is not seen


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_curves_without_validation(nothing):
    history = [r | {"val_loss_all": nothing, "val_acc_all": nothing} for r in HISTORY]
    figure = pictures.curves(history)
    said = " ".join(texts(figure))
    assert "validation" not in said
    assert "best" not in said
    assert marked(figure.axes[1]) == []


def test_curves_leave_gaps_where_a_value_is_not_finite():
    history = [dict(r) for r in HISTORY]
    history[1]["train_loss_all"] = math.nan
    history[2]["train_loss_all"] = math.inf
    history[0]["val_acc_all"] = None
    figure = pictures.curves(history)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.9, np.nan, np.nan])
    assert "train\n0.900" in texts(figure)  # the last that is known


def test_curves_before_the_first_epoch():
    assert texts(pictures.curves([])).count("no epoch yet") == 2


def test_curves_show_the_end_of_a_good_training():
    """From 97 to 99.5 % is as far on the page as from 70 to 95 %; losses likewise."""
    history = [
        row(1, 1.0, 0.9, 0.7, 0.7),
        row(2, 0.1, 0.09, 0.95, 0.97),
        row(3, 0.01, 0.02, 1, 0.995),
    ]
    figure = pictures.curves(history)
    loss, accuracy = figure.axes
    assert loss.get_yscale() == "log"
    figure.canvas.draw()
    height = [accuracy.transData.transform((1, a))[1] for a in (0.70, 0.95, 0.97, 0.995, 1.0)]
    steps = np.diff(height)
    assert steps[0] == pytest.approx(steps[2], rel=0.02)
    assert steps[3] > 0
    said = texts(figure)
    assert {"80 %", "95 %", "99 %", "100 %"} <= set(said)
    assert pictures.curves(HISTORY).axes[0].get_yscale() == "linear"


def test_labels_at_the_ends_do_not_overlap():
    history = [row(1, 0.5, 0.5, 0.5, 0.5), row(2, 0.3, 0.3001, 0.8, 0.8)]
    figure = pictures.curves(history)
    figure.canvas.draw()
    for ax in figure.axes:
        first, second = (t.get_window_extent() for t in ax.texts)
        assert not first.overlaps(second)


# ---- confusion -------------------------------------------------------------------------------

MATRIX = np.array([[90, 0, 10], [2, 198, 0], [0, 0, 0]])


def cells(figure):
    """The counts written in the cells, by (row, column), and all other texts of the axes."""
    at = {}
    for t in figure.axes[0].texts:
        x, y = t.get_position()
        at[(y, x)] = t
    return at


def test_confusion_writes_counts_rows_are_the_truth():
    figure = pictures.confusion(MATRIX, ["ant", "bee", "cow"])
    at = cells(figure)
    written = {k: v.get_text() for k, v in at.items() if v.get_text().isdigit()}
    assert written == {(0, 0): "90", (0, 2): "10", (1, 0): "2", (1, 1): "198"}
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ant", "bee", "cow"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["ant", "bee", "cow"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    said = texts(figure)
    assert "accuracy 96.00 %, 12 of 300 wrong" in said
    margin = [at[(i, 1.02)].get_text() for i in range(3)]
    assert margin == ["90.0 %", "99.0 %", "none"]


def test_errors_have_colours_and_the_diagonal_has_none():
    figure = pictures.confusion(MATRIX, ["ant", "bee", "cow"])
    image = figure.axes[0].images[0]
    colour = image.to_rgba(image.get_array())[..., :3]
    for i in range(3):
        np.testing.assert_allclose(colour[i, i], to_rgb(pictures.PAPER), atol=0.01)
    np.testing.assert_array_equal(colour[0, 1], (1, 1, 1))  # no error
    lightness = colour.mean(-1)
    assert lightness[0, 2] < lightness[1, 0] - 0.2  # 10 % of ants, 1 % of bees
    assert lightness[1, 0] < 0.9  # which is seen nevertheless


def test_a_row_is_coloured_by_its_share_not_its_count():
    image = pictures.confusion([[5, 5, 0], [100, 880, 20], [0, 0, 1]], "abc").axes[0].images[0]
    colour = image.to_rgba(image.get_array())[..., :3].mean(-1)
    assert colour[0, 1] < colour[1, 0]  # 50 % of 10 is more than 10 % of 1000


def test_confusion_without_any_error_or_any_sample():
    assert "accuracy 100.00 %, 0 of 7 wrong" in texts(pictures.confusion([[3, 0], [0, 4]], "ab"))
    assert "0 of 0 wrong" in texts(pictures.confusion(np.zeros((2, 2)), "ab"))
    assert "accuracy 100.00 %, 0 of 2 wrong" in texts(pictures.confusion([[2]], ["one"]))


def test_confusion_of_a_hundred_classes_has_dots_instead_of_numbers(rng):
    matrix = np.diag(np.full(100, 50)) + rng.poisson(0.3, (100, 100))
    names = [f"a rather long name of class {i}" for i in range(100)]
    figure = pictures.confusion(matrix, names)
    ax = figure.axes[0]
    assert len(ax.texts) == 0
    shown = [t.get_text() for t in ax.get_yticklabels()]
    assert 20 < len(shown) <= 40
    assert shown[1] == "a rather …class 3"  # every third, cut in the middle
    (side,) = ax.child_axes
    np.testing.assert_allclose(side.lines[0].get_xdata(), np.diag(matrix) / matrix.sum(1))
    assert "share of the true class" in texts(figure)


def test_confusion_refuses_what_does_not_fit():
    for matrix, classes in [
        (np.ones((2, 3)), "ab"),
        (np.ones((3, 3)), "ab"),
        (np.ones((0, 0)), ""),
    ]:
        with pytest.raises(ShapeError, match=r"confusion: expected a matrix of \(classes, classes"):
            pictures.confusion(matrix, classes)


# ---- samples ---------------------------------------------------------------------------------


def samples(rng, channels=1):
    """Six images whose brightness tells their number; 1, 3 and 4 are taken for something else."""
    images = np.ones((6, channels, 5, 4)) * np.arange(6)[:, None, None, None] / 5
    labels, predicted = np.array([0, 1, 2, 9, 9, 5]), np.array([0, 7, 2, 4, 7, 5])
    p = np.full((6, 10), 0.01)
    p[np.arange(6), predicted] = [0.99, 0.6, 0.9, 0.98, 0.7, 0.5]
    return images, labels, predicted, p


def shown(figure):
    """(title, brightness) of each sample."""
    return [(ax.get_title(), float(ax.images[0].get_array().mean())) for ax in figure.axes]


@pytest.mark.parametrize("of", [np.asarray, mc.tensor], ids=["arrays", "tensors"])
def test_mistakes_come_surest_first(of, rng):
    figure = pictures.mistakes(*map(of, samples(rng)), DIGITS)
    assert shown(figure) == [
        ("4 for 9, 98 %", pytest.approx(3 / 5)),
        ("7 for 9, 70 %", pytest.approx(4 / 5)),
        ("7 for 1, 60 %", pytest.approx(1 / 5)),
    ]
    assert "3 of 6 wrong, surest first" in texts(figure)


def test_most_of_the_mistakes(rng):
    figure = pictures.mistakes(*samples(rng), DIGITS, most=2)
    assert [title for title, _ in shown(figure)] == ["4 for 9, 98 %", "7 for 9, 70 %"]
    assert "3 of 6 wrong, the 2 surest" in texts(figure)


def test_no_mistakes_are_said_to_be_none(rng):
    images, labels, _, p = samples(rng)
    figure = pictures.mistakes(images, labels, labels, p, DIGITS)
    assert texts(figure) == ["no mistakes: all 6 are right"]


def test_predictions_mark_the_wrong_ones(rng):
    figure = pictures.predictions(*samples(rng), DIGITS)
    titles = [title for title, _ in shown(figure)]
    assert titles[:2] == ["0, 99 %", "7 for 1, 60 %"]
    framed = [ax.spines["left"].get_visible() for ax in figure.axes]
    assert framed == [False, True, False, True, True, False]
    colours = [ax.title.get_color() for ax in figure.axes]
    assert colours[0] == pictures.FAINT
    assert colours[1] == pictures.WRONG
    assert "3 of 6 wrong" in texts(figure)


def test_predictions_without_the_truth(rng):
    images, _, predicted, p = samples(rng, channels=3)
    figure = pictures.predictions(images, None, predicted, p, ["long name"] * 10)
    assert shown(figure)[0][0] == "long name, 99 %"
    assert not any(ax.spines["left"].get_visible() for ax in figure.axes)
    assert "wrong" not in " ".join(texts(figure))
    assert figure.axes[0].images[0].get_array().shape == (5, 4, 3)


def test_long_names_take_two_lines_and_do_not_touch(rng):
    names = [f"Ankle boot {i}" for i in range(10)]
    images, labels, predicted, p = samples(rng)
    figure = pictures.mistakes(*(np.repeat(x, 4, 0) for x in (images, labels, predicted, p)), names)
    assert shown(figure)[0][0] == "Ankle boot 4\nfor Ankle boot 9, 98 %"
    figure.canvas.draw()
    boxes = [ax.title.get_window_extent() for ax in figure.axes]
    assert all(not a.overlaps(b) for a, b in itertools.pairwise(boxes))
    inside = figure.bbox
    assert all(b.x0 >= 0 and b.x1 <= inside.width and b.y1 <= inside.height for b in boxes)


def test_samples_that_do_not_fit_are_refused(rng):
    images, labels, predicted, p = samples(rng)
    with pytest.raises(ShapeError, match=r"mistakes: expected images \(N, 1 or 3, H, W\), found"):
        pictures.mistakes(images[:, 0], labels, predicted, p, DIGITS)
    with pytest.raises(ShapeError, match=r"expected labels \(6,\), found \(5,\)"):
        pictures.mistakes(images, labels[:5], predicted, p, DIGITS)
    with pytest.raises(ShapeError, match=r"expected probabilities \(6, 9\), found \(6, 10\)"):
        pictures.predictions(images, labels, predicted, p, DIGITS[:9])
    with pytest.raises(ArgumentError, match="expected labels from 0 to 9, found 1 to 10"):
        pictures.predictions(images, labels + 1, predicted, p, DIGITS)
    with pytest.raises(ShapeError, match="predictions: expected at least one image, found none"):
        pictures.predictions(images[:0], labels[:0], predicted[:0], p[:0], DIGITS)


# ---- filters ---------------------------------------------------------------------------------


def test_filters_of_one_channel_share_a_scale_around_zero():
    w = np.zeros((6, 1, 5, 4))
    w[2, 0, 1, 3] = -0.5
    figure = pictures.filters(mc.tensor(w, requires_grad=True), "c1")
    image = figure.axes[0].images[0]
    assert image.get_clim() == (-0.5, 0.5)
    sheet = image.get_array()
    assert sheet.shape == (5, 6 * 4 + 5)  # a row, a gap of one between
    assert sheet[1, 2 * 5 + 3] == -0.5
    assert np.ma.getmaskarray(sheet)[:, 4].all()
    red, white = image.to_rgba(np.array([-0.5, 0.0]))[:, :3]
    assert red[0] > red[2] + 0.2
    assert white.min() > 0.9
    assert "c1: 6 filters of 1 x 5 x 4" in texts(figure)


def test_filters_of_three_channels_are_colours():
    w = np.zeros((2, 3, 2, 2))
    w[1, 0] = 2.0  # red alone
    w[0, 2, 0, 0] = -1.0
    figure = pictures.filters(w)
    sheet = figure.axes[0].images[0].get_array()
    assert len(figure.axes) == 1  # no scale to explain
    np.testing.assert_allclose(sheet[0, 3], (1, 0.5, 0.5))
    np.testing.assert_allclose(sheet[0, 0], (0.5, 0.5, 0.25))
    np.testing.assert_allclose(sheet[:, 2], 1)  # the gap


def test_filters_of_many_channels_are_columns(rng):
    w = rng.normal(size=(20, 6, 3, 3))
    figure = pictures.filters(w, "c3")
    sheet = figure.axes[0].images[0].get_array()
    assert sheet.shape == (6 * 4 - 1, 16 * 4 - 1)
    np.testing.assert_allclose(sheet[2 * 4 : 2 * 4 + 3, 7 * 4 : 7 * 4 + 3], w[7, 2])
    assert "c3: 20 filters of 6 x 3 x 3, 16 x 6 shown" in texts(figure)


def test_feature_maps(rng):
    x = rng.random((10, 7, 9))
    figure = pictures.feature_maps(x, "relu1")
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(image.get_array()[8:15, 10:19], x[9])  # second row, second column
    assert image.get_clim() == (x.min(), x.max())
    assert "relu1: 10 maps of 7 x 9" in texts(figure)


def test_wrong_weights_and_maps_are_refused():
    with pytest.raises(
        ShapeError, match=r"filters: expected weights \(O, C, kh, kw\), found \(3,\)"
    ):
        pictures.filters(np.zeros(3))
    with pytest.raises(ShapeError, match=r"feature_maps: expected maps \(C, H, W\), found"):
        pictures.feature_maps(np.zeros((1, 2, 3, 4)))


# ---- saving ----------------------------------------------------------------------------------


def test_saved_files_are_what_their_names_say(tmp_path):
    figure = pictures.curves(HISTORY)
    pictures.save(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.width == 1600
    pictures.save(figure, tmp_path / "a.SVG")
    assert b"<svg" in (tmp_path / "a.SVG").read_bytes()
    pictures.save(figure, tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.SVG", "a.pdf", "a.png"]


def test_what_cannot_be_saved_is_said(tmp_path):
    figure = pictures.curves(HISTORY)
    with pytest.raises(ArgumentError, match=r"a\.bmp: a picture's name must end in \.png, \.svg"):
        pictures.save(figure, tmp_path / "a.bmp")
    with pytest.raises(DataError, match=r"no[/\\]a\.png: cannot be written: No such file"):
        pictures.save(figure, tmp_path / "no" / "a.png")


def test_names_are_drawn_as_they_are(tmp_path):
    """Not as mathematics, not failing for signs that the font or UTF-8 lacks."""
    names = ["$x_1$", "\\$", "猫", "\udcff", "a\nb"]
    figure = pictures.confusion(np.eye(5) + 1, names)
    pictures.save(figure, tmp_path / "a.png")
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels[0] == r"\$x_1\$"  # what matplotlib draws as $x_1$
    assert labels[3:] == ["?", "a b"]


def test_pyplot_is_never_touched():
    code = (
        "import sys; from minicnn.training import pictures as p; "
        "p.render(p.curves([])); p.render(p.confusion([[1]], 'a')); p.render(p.filters([[[[1.]]]]))"
        "; print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["True", "False"]


def test_a_figure_is_legible_and_white():
    """Text of at least 8.5 points on 8 inches: 12 pixels on a page of 800."""
    from matplotlib.text import Text

    for figure in (pictures.curves(HISTORY), pictures.confusion(MATRIX, "abc")):
        assert figure.get_size_inches()[0] == 8
        assert (rgb(figure)[0] == 1).all()
        sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_text()]
        assert min(sizes) >= 8.5
