"""Photographs: what every kind of file becomes, and that a digit comes out as MNIST has it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from minicnn.datasets import MNIST
from minicnn.errors import DataError
from minicnn.training.preprocessing import bars, digit, picture, read_image

MNIST_DIGITS = MNIST(train=False).data.numpy()[:40]


def sheet(pixels, rng, shape=(150, 200), scale=4):
    """The digit enlarged, somewhere on a larger sheet; 1 is ink."""
    large = Image.fromarray(pixels).resize((28 * scale, 28 * scale), Image.Resampling.BICUBIC)
    ink = np.zeros(shape)
    top, left = (rng.integers(0, n - 28 * scale + 1) for n in shape)
    ink[top : top + 28 * scale, left : left + 28 * scale] = np.asarray(large, float) / 255
    return ink


def eight_bits(grey):
    return Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))


def photographed(pixels, rng):
    """Dark on light paper with texture, light falling from one side, saved as JPEG."""
    ink = sheet(pixels, rng)
    across, down = np.linspace(0, 1, ink.shape[1]), np.linspace(0, 1, ink.shape[0])[:, None]
    light = 0.55 + 0.3 * across + 0.1 * down
    grey = light * (1 - 0.75 * ink) + rng.normal(0, 0.03, ink.shape)
    return saved(eight_bits(grey).convert("RGB"), "JPEG", quality=80)


def drawn(pixels, rng):
    """Light on black, saved as PNG."""
    return saved(eight_bits(sheet(pixels, rng)), "PNG")


def saved(image, form, **options):
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


@pytest.fixture
def read(tmp_path):
    """Writes bytes to a file and reads them as an image."""

    def write_and_read(content):
        (tmp_path / "image").write_bytes(content)
        return read_image(tmp_path / "image")

    return write_and_read


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


# ---- digits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [photographed, drawn])
def test_a_digit_comes_back_as_mnist_has_it(make, read, rng):
    """Wrong polarity gives -0.3, a digit off by three pixels or a fifth too small less than 0.6."""
    likeness = []
    for pixels in MNIST_DIGITS:
        found = digit(read(make(pixels, rng)))
        assert found.shape == (1, 28, 28)
        assert found.dtype == np.float32
        assert 0 <= found.numpy().min() <= found.numpy().max() <= 1
        likeness.append(correlation(found.numpy(), pixels))
    assert np.mean(likeness) > 0.9
    assert np.min(likeness) > 0.5


def test_a_shadow_over_the_paper_is_no_ink(rng):
    likeness = []
    for pixels in MNIST_DIGITS[:12]:
        ink = sheet(pixels, rng, (240, 320), scale=5)
        far = np.linspace(-1, 1, 320) * 0.7 + np.linspace(-1, 1, 240)[:, None] - rng.normal(0, 0.2)
        light = 0.55 + 0.25 / (1 + np.exp(far * 10))  # a third less light beyond a slanting edge
        grey = light * (1 - 0.7 * ink) + rng.normal(0, 0.02, ink.shape)
        likeness.append(correlation(digit(eight_bits(grey)).numpy(), pixels))
    assert np.mean(likeness) > 0.85


def test_paper_becomes_exactly_nothing(read, rng):
    found = digit(read(photographed(MNIST_DIGITS[0], rng))).numpy()[0]
    box = np.argwhere(found > 0)
    assert (box.max(0) - box.min(0)).max() + 1 in (19, 20)
    assert (found == 0).mean() > 0.5


def strokes(shape, lines, width, ink=0, paper=255):
    image = Image.new("L", shape[::-1], paper)
    for line in lines:
        ImageDraw.Draw(image).line(line, fill=ink, width=width)
    return image


def test_the_longer_side_is_20_and_the_centre_of_mass_is_in_the_middle():
    angle = [[(40, 30), (40, 170), (130, 170)]]
    found = digit(strokes((300, 500), angle, 14)).numpy()[0].astype(float)
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    assert rows[-1] - rows[0] + 1 == 20
    assert columns[-1] - columns[0] + 1 == pytest.approx(20 * 98 / 148, abs=1)
    place = np.arange(28)
    for side in (0, 1):
        centre = (found.sum(1 - side) * place).sum() / found.sum()
        assert centre == pytest.approx(14, abs=0.51)  # as MNIST has it; nearest whole pixel
    middle_of_box = (columns[0] + columns[-1]) / 2
    assert middle_of_box - 14 > 1.9  # most of it is at the left, so the box is to the right


def test_an_elongated_stroke_keeps_its_shape():
    found = digit(strokes((220, 90), [[(45, 30), (45, 190)]], 16)).numpy()[0]
    assert np.flatnonzero(found.any(1)).size == 20
    assert np.flatnonzero(found.any(0)).size == 2
    lying = digit(strokes((90, 220), [[(30, 45), (190, 45)]], 16)).numpy()[0]
    assert np.flatnonzero(lying.any(0)).size == 20


def test_a_pen_leaves_strokes_as_broad_as_mnists():
    ring = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(ring).ellipse((60, 40, 300, 360), outline=0, width=5)  # 0.3 pixels of 20
    found = digit(ring).numpy()[0]
    across = found[14]
    assert across.max() > 0.9
    assert 3 < across.sum() < 5.5  # two strokes


def test_specks_are_no_ink_but_parts_of_a_digit_are():
    lines = [[(100, 60), (100, 140)], [(85, 40), (120, 40)]]  # a stroke and a hat apart from it
    clean = strokes((200, 260), lines, 10)
    dirty = clean.copy()
    for x, y in [(20, 180), (240, 20), (200, 150)]:
        dirty.paste(0, (x, y, x + 3, y + 3))
    found = digit(dirty).numpy()
    assert correlation(found, digit(clean).numpy()) > 0.97
    top = np.flatnonzero(found[0].any(1))[0]
    assert found[0, top].sum() > 4  # the hat


def test_ink_may_reach_the_border():
    found = digit(strokes((150, 150), [[(75, -10), (75, 110)], [(30, 110), (120, 110)]], 12))
    assert found.numpy()[0].any(1).sum() == 20


@pytest.mark.parametrize(
    "grey",
    [
        np.full((60, 50), 0.7),
        np.linspace(0.2, 0.9, 100)[None].repeat(80, 0),
        0.6 + np.random.default_rng(3).normal(0, 0.03, (120, 90)),
        np.zeros((1, 1)),
        np.ones((2, 300)),
    ],
    ids=["even", "gradient", "texture", "one pixel", "strip"],
)
def test_an_empty_sheet_has_no_ink(grey):
    with pytest.raises(DataError, match="no ink found: expected a digit that stands out"):
        digit(eight_bits(grey))


# ---- files -----------------------------------------------------------------------------------


GREY = np.array([[0, 80, 160, 255], [10, 20, 30, 40], [250, 251, 252, 253]], np.uint8)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_grey_files_of_all_formats(form, read):
    image = read(saved(Image.fromarray(GREY), form))
    np.testing.assert_array_equal(np.asarray(image.convert("L")), GREY)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_cut_off(form, read):
    image = read(saved(Image.fromarray(GREY.astype(np.uint16) * 257), form))
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), GREY)


def test_colours_palettes_and_cmyk(read):
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    colours = Image.fromarray(pure)
    for image in (colours, colours.convert("P", palette=Image.Palette.ADAPTIVE)):
        found = read(saved(image, "PNG"))
        assert found.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(found), pure)
    large = colours.resize((64, 16), Image.Resampling.NEAREST).convert("CMYK")
    found = np.asarray(read(saved(large, "JPEG", quality=95))).astype(int)
    assert abs(found[8, [8, 24, 40, 56]] - pure[0]).max() < 30


def test_a_camera_held_sideways_is_set_upright(read):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by a quarter, clockwise
    found = read(saved(Image.fromarray(GREY), "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(found), np.rot90(GREY, -1))


def test_what_is_transparent_is_paper(read):
    for ink, paper in [((0, 0, 0), 255), ((120, 60, 40), 255), ((250, 250, 200), 0)]:
        image = Image.new("RGBA", (60, 60), (127, 127, 127, 0))
        ImageDraw.Draw(image).line([(30, 10), (30, 50)], fill=(*ink, 255), width=6)
        found = np.asarray(read(saved(image, "PNG")))
        assert (found[0, 0] == paper).all()
        assert tuple(found[30, 30]) == ink
        assert digit(Image.fromarray(found)).numpy()[0, 14].max() > 0.9


def test_an_opaque_alpha_channel_changes_nothing(read):
    light = Image.fromarray(np.full((4, 5, 3), 200, np.uint8)).convert("RGBA")
    assert (np.asarray(read(saved(light, "PNG"))) == 200).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an image .PNG, JPEG, .*, found none of these"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "found none of these"),
        (saved(Image.fromarray(GREY), "PNG")[:-30], "expected a sound image, found damage: "),
        (saved(Image.new("L", (64, 64), 90), "JPEG")[:300], "expected a sound image, found damage"),
    ],
    ids=["empty", "postscript", "png", "jpeg"],
)
def test_damaged_files_are_named(content, message, read, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert str(caught.value).startswith(str(tmp_path / "image"))
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.png: expected an image, found nothing"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(DataError, match="expected an image, found no regular file"):
        read_image(tmp_path)


def test_a_decompression_bomb_is_refused(read, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    read(saved(Image.new("L", (10, 10)), "PNG"))
    for side in (12, 40):  # PIL warns of the first, and refuses the second
        with pytest.raises(DataError, match="expected at most 100 pixels, found more"):
            read(saved(Image.new("L", (side, side)), "PNG"))


def test_mutated_files_are_refused_or_read(read, rng):
    whole = [
        saved(Image.fromarray(MNIST_DIGITS[0]), form) for form in ("PNG", "JPEG", "GIF", "BMP")
    ]
    refused = 0
    for i in range(200):
        content = bytearray(whole[i % len(whole)])
        for place in rng.integers(0, len(content), 1 + i % 4):
            content[place] = rng.integers(256)
        try:
            read(bytes(content))
        except DataError:  # anything else fails the test
            refused += 1
    assert 10 < refused < 190


# ---- other data sets, and the bars -----------------------------------------------------------


def test_a_grey_picture_is_whole_and_light_on_dark():
    shirt = np.full((40, 80), 240, np.uint8)
    shirt[10:30, 20:60] = 40  # dark on light
    for pixels in (shirt, 255 - shirt):
        found = picture(Image.fromarray(pixels), (1, 28, 28))
        assert found.shape == (1, 28, 28)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.numpy()[0, 13:15, 10:18], 215 / 255)
        np.testing.assert_allclose(found.numpy()[0, :6], 15 / 255)  # what was added is ground
        assert (found.numpy()[0] > 0.5).sum(1).max() == pytest.approx(14, abs=1)


def test_a_colour_picture_fills_the_shape():
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60, 0] = 255  # the middle third is red
    found = picture(Image.fromarray(pixels), (3, 10, 12)).numpy()
    assert found.shape == (3, 10, 12)
    assert found[0].mean() > 0.8  # 30 x 36 of 30 x 90 pixels: the middle, and a little more
    assert (found[1:] == 0).all()
    grey = picture(Image.fromarray(GREY), (3, 3, 4)).numpy()
    assert (grey[0] == grey[1]).all()


def test_bars_show_the_most_probable_first():
    text = bars(["ant", "bee", "earwig", "fly"], [0.25, 0.0, 0.7, 0.05], top=3, width=10)
    assert text.splitlines() == [
        "earwig   70.00%  ███████",
        "ant      25.00%  ██",
        "fly       5.00%",
    ]


def test_bars_without_unicode(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = bars(["käfer", "ant"], np.array([0.5, 0.5], np.float32), top=5, width=4)
    assert text.splitlines() == ["k?fer   50.00%  ##", "ant     50.00%  ##"]
