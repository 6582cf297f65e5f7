"""Transforms against PIL's and PyTorch's own results, one by one and batch by batch."""

import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

import minicnn
from minicnn import transforms
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.transforms import InterpolationMode, resample

BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST
PILLOW = {BILINEAR: Image.Resampling.BILINEAR, NEAREST: Image.Resampling.NEAREST}
SHAPES = [(3, 1, 5, 8), (2, 3, 7, 4), (1, 1, 1, 1), (4, 3, 1, 6), (2, 1, 9, 1)]


def pictures(shape, seed=0):
    """Random 8-bit images (N, C, H, W), half of them black and white."""
    x = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    x[::2] = np.where(x[::2] > 127, 255, 0)
    return x


def pil(image):
    """One image (C, H, W) as PIL has it."""
    return Image.fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, 2).copy())


def array(image):
    """A PIL image as (C, H, W)."""
    x = np.asarray(image)
    return x[None] if x.ndim == 2 else np.moveaxis(x, 2, 0)


def each(x, function):
    """The batch of what PIL's function makes of each image."""
    return np.stack([array(function(pil(image))) for image in x])


# ---- Resize ------------------------------------------------------------------------------------

SIZES = [
    ((28, 28), (32, 32)), ((32, 32), (28, 28)), ((5, 9), (3, 20)), ((9, 5), (20, 3)),
    ((1, 1), (4, 7)),
    ((6, 1), (1, 6)), ((40, 30), (7, 11)), ((13, 17), (13, 40)), ((13, 17), (29, 17)),
    ((64, 64), (1, 1)), ((2, 3), (61, 59)), ((28, 28), (227, 227)), ((27, 14), (20, 32)),
]  # fmt: skip


@pytest.mark.parametrize("mode", [BILINEAR, NEAREST])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resized_images_have_pils_bits(old, new, mode):
    for channels in (1, 3):
        x = pictures((2, channels, *old))
        expected = each(x, lambda image: image.resize(new[::-1], PILLOW[mode]))
        np.testing.assert_array_equal(transforms.Resize(new, mode).batch(x), expected)


size = st.integers(1, 48)


@given(size, size, size, size, st.integers(0, 10**6))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_any_size_to_any_other(h, w, height, width, seed):
    x = pictures((1, 1, h, w), seed)
    for mode in PILLOW:
        expected = each(x, lambda image, m=mode: image.resize((width, height), PILLOW[m]))
        np.testing.assert_array_equal(transforms.Resize((height, width), mode).batch(x), expected)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resized_floats_are_pytorchs(old, new, dtype, antialias):
    x = np.random.default_rng(1).standard_normal((2, 3, *old)).astype(dtype)
    got = transforms.Resize(new, antialias=antialias)(minicnn.tensor(x))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x).double(), new, mode="bilinear", antialias=antialias
    )
    assert got.dtype == dtype
    tolerance = 2e-6 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(got.numpy(), expected.numpy(), 0, tolerance)


@pytest.mark.parametrize(
    ("image", "arguments", "expected"),
    [
        ((20, 30), {"size": 10}, (10, 15)),
        ((30, 20), {"size": 10}, (15, 10)),
        ((30, 20), {"size": [10]}, (15, 10)),
        ((31, 20), {"size": 10}, (15, 10)),  # 15.5 is cut
        ((20, 20), {"size": 7}, (7, 7)),
        ((20, 30), {"size": (7, 9)}, (7, 9)),
        ((20, 50), {"size": 10, "max_size": 20}, (8, 20)),
        ((50, 20), {"size": 10, "max_size": 20}, (20, 8)),
        ((20, 30), {"size": 10, "max_size": 20}, (10, 15)),
        ((20, 30), {"size": 20}, (20, 30)),
    ],
)
def test_sizes_follow_torchvisions_rule(image, arguments, expected):
    resize = transforms.Resize(**arguments)
    assert resize(pil(pictures((1, *image)))).size == expected[::-1]
    assert resize.batch(pictures((2, 3, *image))).shape == (2, 3, *expected)
    assert resize(minicnn.zeros(2, 5, 3, *image)).shape == (2, 5, 3, *expected)


# ---- Grayscale, ToTensor, Normalize ------------------------------------------------------------


def test_grey_has_pils_bits():
    levels = np.arange(256, dtype=np.uint8)
    ramps = np.stack([levels, levels[::-1], np.roll(levels, 85)])[:, None]  # (3, 1, 256)
    x = np.stack([ramps, ramps[::-1], pictures((1, 3, 1, 256))[0]])
    expected = each(x, lambda image: image.convert("L"))
    np.testing.assert_array_equal(transforms.Grayscale().batch(x), expected)
    assert transforms.Grayscale()(pil(x[0])).mode == "L"
    three = transforms.Grayscale(3)
    np.testing.assert_array_equal(three.batch(x), np.repeat(expected, 3, 1))
    np.testing.assert_array_equal(three.batch(x[:, :1]), np.repeat(x[:, :1], 3, 1))
    assert three(pil(x[0, :1])).mode == "RGB"


def test_grey_floats():
    x = np.random.default_rng(0).random((2, 4, 3, 5, 6))
    got = transforms.Grayscale()(minicnn.tensor(x))
    expected = 0.2989 * x[:, :, 0] + 0.587 * x[:, :, 1] + 0.114 * x[:, :, 2]  # torchvision's
    assert got.shape == (2, 4, 1, 5, 6)
    np.testing.assert_allclose(got.numpy()[:, :, 0], expected, 0, 2e-4)
    same = transforms.Grayscale()(minicnn.tensor(np.full((3, 2, 2), 0.3)))
    np.testing.assert_allclose(same.numpy(), 0.3, 1e-12)  # weights add up to 1


@pytest.mark.parametrize("shape", SHAPES)
def test_to_tensor_divides_by_255(shape):
    x = pictures(shape)
    expected = torch.from_numpy(x).float().div(255).numpy()
    got = transforms.ToTensor().batch(x)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)
    for image, y in zip(x, expected, strict=True):
        np.testing.assert_array_equal(transforms.ToTensor()(pil(image)).numpy(), y)
        np.testing.assert_array_equal(transforms.ToTensor()(np.moveaxis(image, 0, 2)).numpy(), y)
        np.testing.assert_array_equal(transforms.ToTensor()(image[0]).numpy(), y[:1])


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("P", 1), ("LA", 2), ("RGBA", 4), ("CMYK", 4), ("YCbCr", 3), ("HSV", 3),
     ("I", 1), ("F", 1)],
)  # fmt: skip
def test_to_tensor_of_other_modes(mode, channels):
    image = pil(pictures((1, 3, 5, 8), 2)[0]).convert(mode)
    got = transforms.ToTensor()(image)
    assert got.shape == (channels, 5, 8)
    assert got.is_contiguous()
    assert got.dtype == (np.int32 if mode == "I" else np.float32)
    divisor = 1 if mode in ("I", "F") else 255
    for i in range(5):
        for j in range(8):
            pixel = np.atleast_1d(image.getpixel((j, i)))
            np.testing.assert_allclose(got.numpy()[:, i, j], pixel / divisor, 1e-6)


def test_to_pil_image_undoes_to_tensor():
    for mode in ("L", "LA", "RGB", "RGBA"):
        x = np.random.default_rng(0).permutation(1024).astype(np.uint8).reshape(16, 16, 4)
        x = x[:, :, : len(mode)] if mode != "L" else x[:, :, 0]
        image = Image.fromarray(x)
        assert image.mode == mode
        back = transforms.ToPILImage()(transforms.ToTensor()(image))
        assert back.mode == mode
        np.testing.assert_array_equal(np.asarray(back), x)
        for whole in (transforms.ToPILImage(mode)(x), transforms.ToPILImage()(array_tensor(x))):
            assert whole.mode == mode
            np.testing.assert_array_equal(np.asarray(whole), x)


def array_tensor(x):
    """An array (H, W) or (H, W, C) as a uint8 Tensor (H, W) or (C, H, W)."""
    return minicnn.Tensor(x if x.ndim == 2 else np.moveaxis(x, 2, 0).copy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_pil_image_scales_floats(dtype):
    x = np.random.default_rng(0).random((2, 3, 4, 5)).astype(dtype)
    expected = torch.from_numpy(x).mul(255).byte().numpy()
    np.testing.assert_array_equal(transforms.ToPILImage().batch(x), expected)
    np.testing.assert_array_equal(array(transforms.ToPILImage()(minicnn.tensor(x[1]))), expected[1])
    outside = minicnn.tensor([[-0.5, 1.0, 1.7, np.inf]])
    assert np.asarray(transforms.ToPILImage()(outside)).tolist() == [[0, 255, 255, 255]]
    through = transforms.Compose([transforms.ToPILImage(), transforms.Pad(1), lambda i: i.size])
    assert through.batch(x) == [(7, 6)] * 2
    assert through(minicnn.tensor(x[0])) == (7, 6)


def test_to_tensor_turns_other_arrays_round():
    x = np.random.default_rng(0).random((4, 5, 2))
    got = transforms.ToTensor()(x)
    assert got.dtype == np.float64
    assert got.is_contiguous()
    np.testing.assert_array_equal(got.numpy(), np.moveaxis(x, 2, 0))
    got.fill_(7)
    assert x.max() < 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("mean", "std"), [((0.1307,), (0.3081,)), ([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]), (0.5, 0.5)]
)
def test_normalize(mean, std, dtype):
    x = np.random.default_rng(0).random((2, 4, 3, 5, 6)).astype(dtype)
    normalize = transforms.Normalize(mean, std)
    m, s = (torch.tensor(v, dtype=torch.from_numpy(x).dtype).view(-1, 1, 1) for v in (mean, std))
    expected = torch.from_numpy(x).sub(m).div(s).numpy()
    got = normalize(minicnn.tensor(x))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(normalize.batch(x[1]), expected[1])
    t = minicnn.tensor(x)
    assert transforms.Normalize(mean, std, inplace=True)(t) is t
    np.testing.assert_array_equal(t.numpy(), expected)


# ---- ColorJitter -------------------------------------------------------------------------------


def blended(plain, x, factor):
    """plain + factor (x - plain), cut to 8 bits."""
    return np.clip(plain + np.float32(factor) * (x.astype(np.float32) - plain), 0, 255)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [0, 0.3, 1.6])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_jitter_blends_with_black_grey_or_no_colours(name, factor, channels):
    x = pictures((2, channels, 5, 8), 3)
    luma = x if channels == 1 else np.tensordot([0.299, 0.587, 0.114], x, (0, 1))[:, None]
    plain = {
        "brightness": np.zeros((2, 1, 1, 1)),
        "contrast": luma.mean((2, 3), keepdims=True),
        "saturation": luma,
    }[name]
    got = transforms.ColorJitter(**{name: (factor, factor)}).batch(x)
    assert got.dtype == np.uint8
    # the grey of PIL is rounded, and the result cut to whole numbers
    assert np.abs(got - blended(plain, x, factor)).max() < 1.001 + abs(1 - factor)


@pytest.mark.parametrize("share", [-0.5, -0.1, 0.25, 0.4])
def test_jitter_turns_hues(share):
    x = pictures((1, 3, 6, 9), 4)
    got = transforms.ColorJitter(hue=(share, share)).batch(x)
    for i in range(6):
        for j in range(9):
            h, s, v = colorsys.rgb_to_hsv(*(x[0, :, i, j] / 255))
            expected = np.multiply(colorsys.hsv_to_rgb((h + share) % 1, s, v), 255)
            # three times cut to a step of an 8-bit hue
            assert np.abs(got[0, :, i, j] - expected).max() < 19
    grey = x[:, :1]
    np.testing.assert_array_equal(transforms.ColorJitter(hue=0.5).batch(grey), grey)


def test_jitter_takes_every_order_and_stays_within_its_ranges():
    jitter = transforms.ColorJitter(0.5, (1.2, 1.3), 3, 0.1)
    drawn = [jitter.draw() for _ in range(600)]
    assert len({tuple(name for name, _ in d) for d in drawn}) == 24
    wanted = {"brightness": (0.5, 1.5), "contrast": (1.2, 1.3), "saturation": (0, 4),
              "hue": (-0.1, 0.1)}  # fmt: skip
    for name, (low, high) in wanted.items():
        values = [dict(d)[name] for d in drawn]
        edge = (high - low) / 50
        assert low <= min(values) < low + edge
        assert high - edge < max(values) <= high
    assert transforms.ColorJitter(contrast=(1, 1)).draw() == []


# ---- Pad, crops, flip --------------------------------------------------------------------------

PADDINGS = [
    (2, (2, 2, 2, 2)),
    ((1, 3), (1, 3, 1, 3)),
    ((1, 2, 3, 0), (1, 2, 3, 0)),
    ([2], (2,) * 4),
]


@pytest.mark.parametrize(("padding", "edges"), PADDINGS)
@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 3, 5, 7)])
def test_padding(shape, padding, edges):
    x = pictures(shape)
    fill = 9 if shape[1] == 1 else (9, 8, 7)
    expected = each(x, lambda image: ImageOps.expand(image, edges, fill))
    np.testing.assert_array_equal(transforms.Pad(padding, fill).batch(x), expected)
    left, top, right, bottom = edges
    for mode, theirs in (("edge", "replicate"), ("reflect", "reflect")):
        expected = torch.nn.functional.pad(
            torch.from_numpy(x).float(), (left, right, top, bottom), theirs
        )
        got = transforms.Pad(padding, padding_mode=mode).batch(x)
        np.testing.assert_array_equal(got, expected.numpy().astype(np.uint8))


def test_symmetric_padding_repeats_the_edge():
    x = minicnn.tensor([[[1, 2, 3], [4, 5, 6]]])
    got = transforms.Pad((2, 1, 0, 0), padding_mode="symmetric")(x)
    assert got.tolist() == [[[2, 1, 1, 2, 3], [2, 1, 1, 2, 3], [5, 4, 4, 5, 6]]]


@pytest.mark.parametrize(
    ("image", "size", "top", "left"),
    [((7, 9), (3, 5), 2, 2), ((7, 8), (4, 5), 2, 2), ((9, 7), 4, 2, 2), ((8, 7), (3, 4), 2, 2)],
)
def test_centre_crop(image, size, top, left):
    # (7 - 4) / 2 = 1.5 and (8 - 3) / 2 = 2.5 go to the even number, as Python's round
    x = pictures((2, 3, *image))
    h, w = size if isinstance(size, tuple) else (size, size)
    expected = x[:, :, top : top + h, left : left + w]
    np.testing.assert_array_equal(transforms.CenterCrop(size).batch(x), expected)


def test_centre_crop_of_a_smaller_image():
    got = transforms.CenterCrop((4, 2))(minicnn.tensor([[[1, 2, 3]]]))
    assert got.tolist() == [[[0, 0], [1, 2], [0, 0], [0, 0]]]


def places(x, crops):
    """Where each crop was taken from, by looking for it."""
    found = []
    h, w = crops.shape[2:]
    for image, crop in zip(x, crops, strict=True):
        found += [
            (i, j)
            for i in range(x.shape[2] - h + 1)
            for j in range(x.shape[3] - w + 1)
            if np.array_equal(image[:, i : i + h, j : j + w], crop)
        ]
    assert len(found) == len(x)
    return found


def test_random_crops_come_from_everywhere():
    one = np.random.default_rng(0).integers(0, 256, (1, 3, 6, 9), np.uint8)
    x = np.repeat(one, 300, 0)
    crop = transforms.RandomCrop((4, 7))
    assert set(places(x, crop.batch(x))) == {(i, j) for i in range(3) for j in range(3)}
    singles = np.stack([array(crop(pil(one[0]))) for _ in range(60)])
    assert set(places(x[:60], singles)) == {(i, j) for i in range(3) for j in range(3)}


def test_random_crop_pads_first():
    x = pictures((50, 1, 5, 6))
    got = transforms.RandomCrop((5, 6), padding=(1, 2), fill=3).batch(x)
    padded = np.full((50, 1, 9, 8), 3, np.uint8)
    padded[:, :, 2:7, 1:7] = x
    assert len(set(places(padded, got))) > 10
    assert transforms.RandomCrop(8, pad_if_needed=True).batch(x).shape == (50, 1, 8, 8)
    np.testing.assert_array_equal(transforms.RandomCrop((5, 6)).batch(x), x)


def test_flips_are_left_to_right():
    x = pictures((400, 3, 4, 5))
    got = transforms.RandomHorizontalFlip().batch(x)
    mirrored = each(x, ImageOps.mirror)
    flipped = np.array([np.array_equal(a, b) for a, b in zip(got, mirrored, strict=True)])
    np.testing.assert_array_equal(got[~flipped], x[~flipped])
    assert 150 < flipped.sum() < 250
    np.testing.assert_array_equal(transforms.RandomHorizontalFlip(1).batch(x), mirrored)
    np.testing.assert_array_equal(transforms.RandomHorizontalFlip(p=0.0).batch(x), x)


def test_vertical_flips_are_upside_down():
    x = pictures((400, 3, 4, 5))
    got = transforms.RandomVerticalFlip().batch(x)
    turned = each(x, ImageOps.flip)
    flipped = np.array([np.array_equal(a, b) for a, b in zip(got, turned, strict=True)])
    np.testing.assert_array_equal(got[~flipped], x[~flipped])
    assert 150 < flipped.sum() < 250
    np.testing.assert_array_equal(transforms.RandomVerticalFlip(1).batch(x), turned)
    np.testing.assert_array_equal(transforms.RandomVerticalFlip(p=0.0).batch(x), x)


# ---- RandomResizedCrop -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [BILINEAR, NEAREST])
@pytest.mark.parametrize("shape", [(20, 3, 23, 40), (20, 1, 28, 28), (3, 3, 1, 9), (2, 1, 1, 1)])
def test_resized_crops_have_pils_bits(shape, mode):
    x = pictures(shape)
    crop = transforms.RandomResizedCrop((12, 15), (0.1, 0.9), interpolation=mode)
    minicnn.manual_seed(8)
    boxes = [crop.draw(*shape[2:]) for _ in x]
    minicnn.manual_seed(8)
    got = crop.batch(x)
    assert got.shape == (*shape[:2], 12, 15)
    for image, y, (top, left, h, w) in zip(x, got, boxes, strict=True):
        piece = pil(image).crop((left, top, left + w, top + h))
        np.testing.assert_array_equal(y, array(piece.resize((15, 12), PILLOW[mode])))


def test_pieces_have_the_areas_and_shapes_asked_for():
    crop = transforms.RandomResizedCrop(9, scale=(0.2, 0.5), ratio=(0.5, 3))
    boxes = np.array([crop.draw(300, 400) for _ in range(2000)])
    top, left, h, w = boxes.T
    assert top.min() == left.min() == 0
    assert (top + h).max() == 300
    assert (left + w).max() == 400
    area, ratio = h * w / 120_000, w / h
    assert 0.199 < area.min() < 0.205
    assert 0.49 < area.max() < 0.501
    assert 0.49 < ratio.min() < 0.52
    assert 2.8 < ratio.max() < 3.05
    # all ratios fit an area below 300 * 100: there the logarithm is uniform, half of it below
    small = ratio[area < 0.25]
    assert np.mean(small < math.sqrt(0.5 * 3)) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("image", "options", "box"),
    [
        ((10, 100), {"scale": (2, 2)}, (0, 43, 10, 13)),  # too wide: 10 * 4/3
        ((100, 11), {"scale": (2, 2)}, (42, 0, 15, 11)),  # too high: 11 / (3/4)
        ((10, 12), {"scale": (2, 2)}, (0, 0, 10, 12)),  # neither: the whole image
    ],
)
def test_where_no_piece_fits_it_is_the_middle(image, options, box):
    assert transforms.RandomResizedCrop(9, **options).draw(*image) == box


# ---- RandomRotation ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [NEAREST, BILINEAR])
@pytest.mark.parametrize("center", [None, (2, 3.5)])
@pytest.mark.parametrize("shape", [(1, 1, 7, 12), (1, 3, 9, 9), (1, 3, 1, 1), (1, 1, 2, 90)])
@pytest.mark.parametrize("angle", [0, 17.3, 45, 90, -90, 180, 270, 359.5, -200])
def test_rotations_have_pils_bits(angle, shape, center, mode):
    x = pictures(shape)
    fill = 7 if shape[1] == 1 else (7, 8, 9)
    rotation = transforms.RandomRotation((angle, angle), mode, center=center, fill=fill)
    expected = pil(x[0]).rotate(angle, PILLOW[mode], center=center, fillcolor=fill)
    np.testing.assert_array_equal(rotation.batch(x)[0], array(expected))
    np.testing.assert_array_equal(array(rotation(pil(x[0]))), array(expected))


def test_angles_stay_within_their_range_and_fill_it():
    angles = transforms.RandomRotation(25).draw(500)
    assert -25 <= min(angles) < -24
    assert 24 < max(angles) <= 25


# ---- RandomAffine ------------------------------------------------------------------------------

MAPS = {
    "nothing": {"degrees": 0},
    "moved": {"degrees": 0, "translate": (0.3, 0.2)},
    "turned": {"degrees": 30},
    "scaled": {"degrees": 0, "scale": (0.2, 3)},
    "sheared": {"degrees": 0, "shear": 20, "center": (3, 1.5)},
    "all": {"degrees": (10, 180), "translate": (0.1, 0.5), "scale": (0.3, 2),
            "shear": (-9, 9, 1, 30)},
}  # fmt: skip


@pytest.mark.parametrize("mode", [NEAREST, BILINEAR])
@pytest.mark.parametrize("shape", [(6, 1, 7, 12), (5, 3, 10, 9), (2, 3, 1, 1), (30, 1, 2, 300)])
@pytest.mark.parametrize("options", MAPS.values(), ids=MAPS)
def test_affine_maps_have_pils_bits(options, shape, mode):
    x = pictures(shape)
    fill = 7 if shape[1] == 1 else (7, 8, 9)
    affine = transforms.RandomAffine(**options, interpolation=mode, fill=fill)
    minicnn.manual_seed(3)
    matrices = affine.draw(len(x), *shape[2:])
    expected = [
        array(pil(image).transform(
            shape[:1:-1], Image.Transform.AFFINE, m, PILLOW[mode], fillcolor=fill
        ))
        for image, m in zip(x, matrices.tolist(), strict=True)
    ]  # fmt: skip
    minicnn.manual_seed(3)
    np.testing.assert_array_equal(affine.batch(x), expected)


@pytest.mark.parametrize("mode", [NEAREST, BILINEAR])
def test_quarter_turns(mode):
    """Clockwise, about the middle, with no pixel lost."""
    x = pictures((3, 3, 6, 6))
    turns = [transforms.RandomAffine((a, a), interpolation=mode) for a in (90, 180, -90)]
    got = np.concatenate([turn.batch(x[k : k + 1]) for k, turn in enumerate(turns)])
    turned = np.stack([np.rot90(image, k, (1, 2)) for image, k in zip(x, (-1, 2, 1), strict=True)])
    assert np.abs(got.astype(int) - turned).max() <= (1 if mode is BILINEAR else 0)


def test_the_matrix_undoes_shear_scale_rotation_and_translation():
    """The forward map, built of its four parts, takes each source point to its pixel."""
    angle, move, scale, shear, centre = 33.0, (4, -2), 1.7, (11.0, -5.0), (6.5, 3.0)
    matrix = np.reshape(resample.inverse_affine(angle, move, scale, shear, centre), (2, 3))
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    tx, ty = (math.tan(math.radians(v)) for v in shear)
    forward = np.array([[c, -s], [s, c]]) @ [[1, 0], [-ty, 1]] @ [[1, -tx], [0, 1]] * scale
    for point in ((0.5, 0.5), (7.5, 2.5), (11.5, 4.5)):
        source = matrix @ (*point, 1)
        np.testing.assert_allclose(forward @ (source - centre) + centre + move, point, 1e-12)


def test_draws_stay_within_their_ranges_and_fill_them():
    affine = transforms.RandomAffine((10, 20), translate=(0.1, 0.25))
    m = affine.draw(500, 8, 30).reshape(-1, 2, 3)  # source = m[:, :, :2] point + m[:, :, 2]
    angles = np.degrees(np.arctan2(m[:, 0, 1], m[:, 0, 0]))
    assert 10 <= angles.min() < 10.5
    assert 19.5 < angles.max() <= 20
    middle = np.array([15.0, 4.0])  # what is mapped to it came from there, less the move
    target = np.linalg.solve(m[:, :, :2], (middle - m[:, :, 2])[..., None])[..., 0]
    move = target - middle
    np.testing.assert_allclose(move, np.round(move), atol=1e-9)
    assert np.abs(move).round().max(0).tolist() == [3, 2]


# ---- single images, Tensors, chains ------------------------------------------------------------

SINGLE = [
    transforms.Resize((6, 11)), transforms.Resize(4, NEAREST), transforms.Pad((1, 2), 5),
    transforms.CenterCrop(3), transforms.RandomCrop(3, padding=1),
    transforms.RandomHorizontalFlip(),
    transforms.RandomAffine(30, (0.2, 0.2), (0.5, 1.5), 10), transforms.Grayscale(3),
    transforms.RandomAffine(30, interpolation=BILINEAR),
    transforms.RandomVerticalFlip(), transforms.RandomRotation(40, BILINEAR, fill=9),
    transforms.RandomResizedCrop((4, 3)),
]  # fmt: skip


@pytest.mark.parametrize("transform", SINGLE, ids=str)
def test_a_single_image_is_a_batch_of_one(transform):
    x = pictures((1, 3, 5, 8), 1)
    minicnn.manual_seed(5)
    expected = transform.batch(x)
    minicnn.manual_seed(5)
    image = transform(pil(x[0]))
    assert isinstance(image, Image.Image)
    np.testing.assert_array_equal(array(image), expected[0])
    minicnn.manual_seed(5)
    got = transform(minicnn.tensor(x[0]))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got.numpy(), expected[0])


@pytest.mark.parametrize("transform", SINGLE, ids=str)
def test_a_tensor_of_several_images_gets_one_draw(transform):
    x = np.repeat(np.random.default_rng(0).random((1, 1, 3, 5, 8)), 2, 0).astype(np.float32)
    got = transform(minicnn.tensor(x))
    assert got.dtype == np.float32
    assert got.shape[:2] == (2, 1)
    np.testing.assert_array_equal(got[0].numpy(), got[1].numpy())


@pytest.mark.parametrize("transform", SINGLE, ids=str)
def test_batches_of_floats_and_strided_batches(transform):
    x = np.random.default_rng(0).random((6, 5, 3, 8)).transpose(0, 2, 1, 3)[::2]  # (3, 3, 5, 8)
    minicnn.manual_seed(1)
    expected = transform.batch(x.copy())
    assert expected.dtype == np.float64
    minicnn.manual_seed(1)
    np.testing.assert_array_equal(transform.batch(x), expected)


def test_random_transforms_follow_the_seed_and_draw_for_each_image():
    x = np.repeat(pictures((1, 1, 12, 12)), 40, 0)
    for transform in (transforms.RandomCrop(9), transforms.RandomHorizontalFlip(), SINGLE[6],
                      *SINGLE[9:], transforms.ColorJitter(0.5, 0.5, 0.5, 0.1)):  # fmt: skip
        minicnn.manual_seed(1)
        first = transform.batch(x)
        second = transform.batch(x)
        minicnn.manual_seed(1)
        np.testing.assert_array_equal(transform.batch(x), first)
        assert (first != second).any()
        assert len({image.tobytes() for image in first}) > 1


def test_a_chain_is_its_steps():
    steps = [transforms.Resize(9), transforms.Grayscale(), transforms.ToTensor(),
             transforms.Normalize((0.5,), (0.25,))]  # fmt: skip
    x = pictures((3, 3, 5, 8))
    expected = x
    for step in steps:
        expected = step.batch(expected)
    chain = transforms.Compose(steps)
    np.testing.assert_array_equal(chain.batch(x), expected)
    nested = transforms.Compose([transforms.Compose(steps[:2]), transforms.Compose(steps[2:])])
    np.testing.assert_array_equal(nested.batch(x), expected)
    for image, y in zip(x, expected, strict=True):
        np.testing.assert_array_equal(chain(pil(image)).numpy(), y)


@pytest.mark.parametrize("wrap", [lambda f: f, transforms.Lambda], ids=["function", "Lambda"])
def test_foreign_steps_get_what_torchvision_hands_over(wrap):
    seen = []

    def look(x):
        seen.append(x)
        return x

    chain = transforms.Compose(
        [wrap(look), transforms.Pad(1), wrap(look), transforms.ToTensor(), wrap(look),
         transforms.Normalize(0.5, 0.5), wrap(lambda t: t.flatten())]
    )  # fmt: skip
    x = pictures((2, 1, 3, 4))
    got = chain.batch(x)
    assert [type(s).__name__ for s in seen] == ["Image"] * 4 + ["Tensor"] * 2
    assert [s.size for s in seen[:4]] == [(4, 3)] * 2 + [(6, 5)] * 2
    assert [t.shape for t in seen[4:]] == [(1, 5, 6)] * 2
    assert [t.shape for t in got] == [(30,)] * 2
    np.testing.assert_array_equal(got[1].numpy(), chain(pil(x[1])).numpy())


def test_a_batch_is_left_as_it_was():
    x = pictures((4, 3, 6, 6))
    before = x.copy()
    for transform in [*SINGLE, transforms.ToTensor()]:
        transform.batch(x)
    floats = x / 255
    transforms.Normalize(0.5, 0.5).batch(floats)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(floats, before / 255)


@pytest.mark.parametrize(
    ("transform", "text"),
    [
        (transforms.ToTensor(), "ToTensor()"),
        (transforms.Normalize((0.5,), (0.25,)), "Normalize(mean=(0.5,), std=(0.25,))"),
        (
            transforms.Resize(32),
            "Resize(size=32, interpolation=bilinear, max_size=None, antialias=True)",
        ),
        (transforms.Pad(2), "Pad(padding=2, fill=0, padding_mode=constant)"),
        (transforms.CenterCrop(5), "CenterCrop(size=(5, 5))"),
        (transforms.RandomCrop(28, 4), "RandomCrop(size=(28, 28), padding=4)"),
        (transforms.RandomHorizontalFlip(), "RandomHorizontalFlip(p=0.5)"),
        (transforms.RandomVerticalFlip(0.1), "RandomVerticalFlip(p=0.1)"),
        (
            transforms.RandomRotation(15),
            "RandomRotation(degrees=[-15.0, 15.0], interpolation=nearest, expand=False, fill=0)",
        ),
        (
            transforms.RandomRotation((1, 2), BILINEAR, center=(3, 4), fill=5),
            "RandomRotation(degrees=[1.0, 2.0], interpolation=bilinear, expand=False, "
            "center=(3, 4), fill=5)",
        ),
        (
            transforms.RandomResizedCrop(224),
            "RandomResizedCrop(size=(224, 224), scale=(0.08, 1.0), ratio=(0.75, 1.3333), "
            "interpolation=bilinear, antialias=True)",
        ),
        (
            transforms.ColorJitter(0.5, hue=(-0.1, 0.2)),
            "ColorJitter(brightness=(0.5, 1.5), contrast=None, saturation=None, hue=(-0.1, 0.2))",
        ),
        (transforms.ToPILImage(), "ToPILImage()"),
        (transforms.ToPILImage("RGB"), "ToPILImage(mode=RGB)"),
        (transforms.Grayscale(), "Grayscale(num_output_channels=1)"),
        (transforms.Lambda(len), "Lambda()"),
        (transforms.RandomAffine(15), "RandomAffine(degrees=[-15.0, 15.0])"),
        (
            transforms.RandomAffine((0, 9), (0.1, 0), (1, 2), 5, BILINEAR, 3, (1, 2)),
            "RandomAffine(degrees=[0.0, 9.0], translate=(0.1, 0), scale=(1, 2), shear=[-5.0, 5.0], "
            "interpolation=bilinear, fill=3, center=(1, 2))",
        ),
        (
            transforms.Compose([transforms.Pad(1), transforms.ToTensor()]),
            "Compose(\n    Pad(padding=1, fill=0, padding_mode=constant)\n    ToTensor()\n)",
        ),
    ],
)
def test_repr_is_torchvisions(transform, text):
    assert repr(transform) == text


# ---- what is refused ---------------------------------------------------------------------------

T = transforms
GREY = pictures((2, 1, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: T.Resize(0), ArgumentError, r"Resize: size must be a number from 1 up .*, not 0"),
        (lambda: T.Resize((1, 2, 3)), ArgumentError, r"not \(1, 2, 3\)"),
        (lambda: T.Resize(2.5), ArgumentError, r"not 2\.5"),
        (
            lambda: T.Resize(8, "bilinear"),
            ArgumentError,
            "interpolation must be .*, not 'bilinear'",
        ),
        (lambda: T.Resize(8, 3), ArgumentError, "BILINEAR, not 3"),
        (
            lambda: T.Resize((8, 9), max_size=10),
            ArgumentError,
            r"max_size=10 needs one smaller .*\(8, 9\)",
        ),
        (lambda: T.Resize(8, max_size=8), ArgumentError, "max_size=8 needs one smaller number"),
        (
            lambda: T.Resize(8).batch(GREY[:, :, :0]),
            ShapeError,
            "at least 1 x 1 pixel, found 0 x 4",
        ),
        (lambda: T.Pad(-1), ArgumentError, "padding must be 1, 2 or 4 whole numbers .*, not -1"),
        (lambda: T.Pad((1, 2, 3)), ArgumentError, r"not \(1, 2, 3\)"),
        (
            lambda: T.Pad(1, padding_mode="wrap"),
            ArgumentError,
            "one of constant, edge, .*, not 'wrap'",
        ),
        (lambda: T.Pad(1, (1, 2)).batch(GREY), ArgumentError, "fill has 2 values for 1 channels"),
        (
            lambda: T.RandomCrop(5).batch(GREY),
            ShapeError,
            r"size \(5, 5\) is larger than the images, \(4, 4\)",
        ),
        (lambda: T.RandomHorizontalFlip(1.5), ArgumentError, r"p must be from 0 to 1, not 1\.5"),
        (
            lambda: T.RandomAffine(-3),
            ArgumentError,
            "degrees as one number must be from 0 up, not -3",
        ),
        (
            lambda: T.RandomAffine((1, 2, 3)),
            ArgumentError,
            r"degrees must be a number or 2, not \(1, 2, 3\)",
        ),
        (
            lambda: T.RandomAffine(0, shear=(1, 2, 3)),
            ArgumentError,
            "shear must be a number or 2 or 4",
        ),
        (lambda: T.RandomAffine(0, (0.1, 2)), ArgumentError, "translate must be 2 of 0 to 1"),
        (lambda: T.RandomAffine(0, scale=(0, 1)), ArgumentError, "scale must be 2 numbers above 0"),
        (lambda: T.RandomAffine(0, center=(1,)), ArgumentError, r"center must be \(x, y\)"),
        (lambda: T.Grayscale(2), ArgumentError, "num_output_channels must be 1 or 3, not 2"),
        (
            lambda: T.Grayscale().batch(np.zeros((1, 2, 3, 3))),
            ShapeError,
            "1 or 3 channels, found 2",
        ),
        (
            lambda: T.Normalize(0, 1).batch(GREY),
            DtypeError,
            "floating images, found uint8; put ToTensor",
        ),
        (
            lambda: T.Normalize(0, 1)(pil(GREY[0])),
            DtypeError,
            "expected a Tensor, found Image; put ToTensor",
        ),
        (lambda: T.Normalize(0, 0).batch(GREY / 1), ArgumentError, "std 0 has a 0 in float64"),
        (lambda: T.Normalize(0, 1e-50).batch(np.float32(GREY)), ArgumentError, "a 0 in float32"),
        (
            lambda: T.Normalize((1, 2, 3), 1).batch(GREY / 1),
            ArgumentError,
            "mean has 3 values, the images have 1",
        ),
        (
            lambda: T.Normalize(0, 1)(minicnn.zeros(2, 2)),
            ShapeError,
            r"Tensor \(..., C, H, W\), found \(2, 2\)",
        ),
        (lambda: T.ToTensor()(minicnn.zeros(2, 2)), DtypeError, "found a Tensor already"),
        (lambda: T.ToTensor()(np.zeros(2)), ShapeError, r"\(H, W\) or \(H, W, C\), found \(2,\)"),
        (lambda: T.ToTensor()("a.png"), DtypeError, "expected a PIL image or a Tensor, found str"),
        (
            lambda: T.Pad(1)(np.zeros((2, 2))),
            DtypeError,
            "Pad: expected a PIL image or a Tensor, found ndarray",
        ),
        (
            lambda: T.Pad(1)(Image.new("RGBA", (2, 2))),
            DtypeError,
            r"mode L or RGB, found RGBA; .*convert",
        ),
        (lambda: T.Pad(1)(minicnn.zeros(2)), ShapeError, r"Pad: expected a Tensor \(..., H, W\)"),
        (lambda: T.Lambda(3), TypeError, "Lambda: expected a function, found int"),
        (
            lambda: T.Compose([T.Lambda(len)]).batch(pictures((1, 5, 3, 3))),
            ShapeError,
            "1 to 4 channels, not 5",
        ),
        (
            lambda: T.ToTensor()(Image.new("I;16", (2, 2))),
            DtypeError,
            r"mode 1, L, .* or F, found I;16; .*convert",
        ),
        (lambda: T.RandomVerticalFlip(-1), ArgumentError, "RandomVerticalFlip: p must be .*not -1"),
        (
            lambda: T.RandomRotation(9, expand=True),
            ArgumentError,
            "expand=True would give images of unequal sizes; put Pad before it",
        ),
        (lambda: T.RandomRotation(-3), ArgumentError, "RandomRotation: degrees as one .*not -3"),
        (lambda: T.RandomRotation(0, center=[1]), ArgumentError, "RandomRotation: center must be"),
        (lambda: T.RandomRotation(0, 3), ArgumentError, "RandomRotation: interpolation .*not 3"),
        (lambda: T.RandomRotation(0, fill=(1, 2)).batch(GREY), ArgumentError, "fill has 2 values"),
        (lambda: T.RandomResizedCrop(0), ArgumentError, "RandomResizedCrop: size must be"),
        (
            lambda: T.RandomResizedCrop(4, (1, 0.5)),
            ArgumentError,
            r"scale must be \(least, greatest\) above 0, not \(1, 0.5\)",
        ),
        (lambda: T.RandomResizedCrop(4, ratio=(0, 1)), ArgumentError, r"ratio must .*\(0, 1\)"),
        (
            lambda: T.RandomResizedCrop(4).batch(GREY[..., :0]),
            ShapeError,
            "RandomResizedCrop: expected images of at least 1 x 1 pixel, found 4 x 0",
        ),
        (
            lambda: T.ColorJitter(-1),
            ArgumentError,
            "brightness must lie within 0 and inf, .*not -1",
        ),
        (lambda: T.ColorJitter(hue=0.6), ArgumentError, "hue must lie within -0.5 and 0.5, .*0.6"),
        (lambda: T.ColorJitter(0, (2, 1)), ArgumentError, r"contrast must .*first, not \(2, 1\)"),
        (lambda: T.ColorJitter(0, (2,)), ArgumentError, r"contrast must be a number or 2, not \("),
        (
            lambda: T.ColorJitter(1).batch(GREY / 255),
            DtypeError,
            "expected 8-bit images, found float64; put it before ToTensor",
        ),
        (lambda: T.ToPILImage("I"), ArgumentError, "mode must be None, L, LA, RGB, RGBA, not 'I'"),
        (
            lambda: T.ToPILImage("RGB")(minicnn.zeros(1, 2, 2)),
            ArgumentError,
            "mode RGB does not fit 1 channels",
        ),
        (lambda: T.ToPILImage()(minicnn.arange(4).view(2, 2)), DtypeError, "floats, found int64"),
        (lambda: T.ToPILImage()(np.zeros((2, 2))), DtypeError, "array of uint8, found float64"),
        (lambda: T.ToPILImage()(minicnn.zeros(5, 2, 2)), ShapeError, "1 to 4 channels, not 5"),
        (lambda: T.ToPILImage()(minicnn.zeros(2)), ShapeError, r"2 or 3 dimensions, found \(2,\)"),
        (lambda: T.ToPILImage()(pil(GREY[0])), DtypeError, "Tensor or an array, found Image"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message) as found:
        call()
    assert "\n" not in str(found.value)


def test_pils_numbers_for_interpolation_are_taken():
    assert transforms.Resize(4, Image.BILINEAR).interpolation is BILINEAR
    assert transforms.RandomAffine(0, interpolation=Image.NEAREST).interpolation is NEAREST
