"""Padded, squeezed and wider pictures are distinguished, or one line asks for help; nothing is cut by mistake."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from nted_lite.evaluation.layout import look, pair_layouts, set_layout
from nted_lite.images import picture
from nted_lite.people import SPLITS, pairs

SIZE = (128, 88)
BICUBIC = Image.Resampling.BICUBIC


@pytest.fixture(scope="module")
def people():
    """Six people in front of their studio papers, 88 x 128."""
    images = pairs(SPLITS["test"], torch.arange(6), height=128).target.image
    return [Image.fromarray(picture(image)) for image in images]


def padded(image, colour=(255, 255, 255), side=128):
    canvas = Image.new("RGB", (side, side), colour)
    inner = image.resize((side * 11 // 16, side), BICUBIC)
    canvas.paste(inner, ((side - inner.width) // 2, 0))
    return canvas


def squeezed(image, side=128):
    return image.resize((side, side), BICUBIC)


def wider(image):
    """The same view, of which more is seen at both sides: a studio with a plant."""
    canvas = Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8))
    canvas = canvas.filter(ImageFilter.GaussianBlur(6))
    canvas.paste(image, (20, 0))
    return canvas


def on_white(image):
    """Somebody cut out in front of a white wall, narrower than the picture."""
    pixels = np.array(image)
    pixels[:, :20] = pixels[:, -20:] = 255
    return Image.fromarray(pixels)


def blurred(image):
    """What a model may generate: not quite the truth."""
    return image.filter(ImageFilter.GaussianBlur(2)).point(lambda level: level * 0.9 + 8)


def save(folder, images, suffix="png", **options):
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{n}.{suffix}" for n in range(len(images))]
    for image, file in zip(images, files):
        image.save(file, **options)
    return files


def told(folder, generated, truth, asked="auto"):
    pair = save(folder / "a", generated), save(folder / "b", truth)
    return pair_layouts(list(zip(*pair)), *SIZE, asked)


# ------------------------------------------------------------------------------------------------- what a picture says


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (238, 238, 238), (120, 130, 140)])
@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("how", [{"suffix": "png"}, {"suffix": "jpg", "quality": 75}, {"suffix": "webp"}])
def test_flat_bars_with_a_seam_are_padding(colour, side, how, people, tmp_path):
    files = save(tmp_path, [padded(image, colour, side) for image in people], **how)
    seen = [look(Image.open(file).convert("RGB")) for file in files]
    assert seen.count("padded") >= 5 and "full" not in seen


def test_bars_that_a_network_drew(people):
    noise = np.random.default_rng(0).normal(0, 1.5, (128, 128, 3))
    for image in people:
        drawn = (np.asarray(padded(image), dtype=float) + noise).clip(0, 255).astype(np.uint8)
        assert look(Image.fromarray(drawn)) == "padded"


def test_squeezed_people_are_no_padding(people):
    assert "padded" not in {look(squeezed(image)) for image in people}
    assert "padded" not in {look(squeezed(on_white(image))) for image in people}


def test_an_arm_across_a_white_wall_is_no_padding(people):
    canvas = squeezed(on_white(people[0]))
    canvas.paste((150, 90, 60), (2, 60, 60, 70))  # from the middle far into the side
    assert look(canvas) == "full"


def test_somebody_before_a_white_wall_says_nothing(people):
    assert look(padded(on_white(people[0]), side=128)) == "plain"


# --------------------------------------------------------------------------------------------------- what pairs decide


def test_pictures_of_the_right_shape_need_nothing(people, tmp_path):
    for found in told(tmp_path, people, [image.resize((750, 1101)) for image in people]):
        assert not found.whole and found.said == "11:16"


@pytest.mark.parametrize("change", [lambda image: image, blurred])
@pytest.mark.parametrize("side", [128, 256])
def test_squeezed_against_the_right_shape(change, side, people, tmp_path):
    ours, theirs = told(tmp_path, [squeezed(change(image), side) for image in people], people)
    assert ours.whole and "squeezed: nearer" in ours.said and "6 of 6" in ours.said and theirs.said == "11:16"


@pytest.mark.parametrize("change", [lambda image: image, blurred, on_white])
def test_padded_against_the_right_shape(change, people, tmp_path):
    ours, theirs = told(tmp_path, [padded(change(image)) for image in people], people)
    assert not ours.whole and ("padded: flat bars" in ours.said or "cut to the middle" in ours.said)
    assert theirs.said == "11:16"


def test_the_truth_may_be_what_is_squeezed(people, tmp_path):
    ours, theirs = told(tmp_path, people, [squeezed(image) for image in people])
    assert theirs.whole and not ours.whole


def test_own_square_photos_are_cut_as_transfer_cuts_them(people, tmp_path):
    """They are no square because of somebody's squeezing: there is more to see."""
    ours, theirs = told(tmp_path, [blurred(image) for image in people], [wider(image) for image in people])
    assert not theirs.whole and "wider: nearer" in theirs.said and ours.said == "11:16"


def test_squeezed_results_against_padded_originals(people, tmp_path):
    """The usual pair: GFLA's and PIDM's pictures, and DeepFashion's own."""
    ours, theirs = told(tmp_path, [squeezed(blurred(image)) for image in people], [padded(image) for image in people])
    assert ours.whole and not theirs.whole and "padded: flat bars" in theirs.said


def test_tensors_have_the_right_shape(people, tmp_path):
    files = save(tmp_path, [squeezed(image) for image in people])
    truth = [torch.from_numpy(np.array(image)).movedim(-1, 0) for image in people]
    ours, theirs = pair_layouts(list(zip(files, truth)), *SIZE)
    assert ours.whole and theirs.said == "11:16"


@pytest.mark.parametrize("case", ["both squeezed", "noise", "half and half", "white walls on both sides"])
def test_what_cannot_be_told_is_asked(case, people, tmp_path):
    random = np.random.default_rng(0)
    noise = [Image.fromarray(random.integers(0, 255, (128, 128, 3), dtype=np.uint8)) for _ in range(6)]
    half = [(squeezed if n % 2 else wider)(image) for n, image in enumerate(people)]
    walls = [padded(on_white(image)) for image in people]
    generated, truth = {
        "both squeezed": ([squeezed(blurred(image)) for image in people], [squeezed(image) for image in people]),
        "noise": (noise, people),
        "half and half": (half, people),
        "white walls on both sides": (walls, walls),
    }[case]
    with pytest.raises(ValueError, match="are 128x128, not 11:16; their layout is unclear: give --layout") as error:
        told(tmp_path, generated, truth)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    for asked, whole in (("padded", False), ("squeezed", True)):
        ours, _ = told(tmp_path, generated, truth, asked)
        assert ours.whole == whole and ours.said == f"{asked}, as --layout says"


def test_what_is_asked_decides_for_the_truth_only_if_nothing_else_does(people, tmp_path):
    _, theirs = told(tmp_path, [squeezed(image) for image in people], [padded(image) for image in people], "squeezed")
    assert not theirs.whole and "padded: flat bars" in theirs.said
    _, theirs = told(tmp_path, [squeezed(image) for image in people], [squeezed(image) for image in people], "squeezed")
    assert theirs.whole


def test_an_option_without_effect_says_so(people, tmp_path):
    ours, _ = told(tmp_path, people, people, "squeezed")
    assert not ours.whole and ours.said == "11:16 already, --layout changes nothing"


def test_a_reference_set_has_no_other_side(people, tmp_path):
    assert "padded" in set_layout(save(tmp_path / "a", [padded(i) for i in people]), *SIZE, "auto", "reference").said
    files = save(tmp_path / "b", [squeezed(image) for image in people])
    with pytest.raises(ValueError, match="the reference pictures, .*b/0.png, are 128x128"):
        set_layout(files, *SIZE, "auto", "reference")
    assert set_layout(files, *SIZE, "squeezed", "reference").whole
