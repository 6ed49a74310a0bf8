"""The pictures: their colours mean what they say, and every figure can be drawn and saved."""

import io

import pytest
import seaborn
import torch
from matplotlib.figure import Figure

from nted_lite import NTED, Textures, plotting, preset
from nted_lite.entities import GROUPS
from nted_lite.evaluation.people import held_out
from nted_lite.people import PARTS
from nted_lite.plotting import system


@pytest.fixture(scope="module")
def example():
    torch.manual_seed(0)
    model = NTED(preset("people-64").model).eval()
    test = held_out(torch.arange(2), model.config)
    with torch.no_grad():
        return model, test, model(test.reference, test.pose)


def saved(figure):
    """The size of the figure's file; a figure must be one that can be saved."""
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file)
    return file.tell()


def test_part_colours_are_from_the_colour_blind_palette():
    assert list(plotting.PART_COLOURS) == list(PARTS)
    palette = seaborn.color_palette("colorblind").as_hex()
    assert len(set(plotting.PART_COLOURS.values()) & set(palette)) == len(PARTS)


def test_a_picture_is_enlarged_without_smoothing():
    image = torch.tensor([[-1.0, 1.0]])[None].expand(3, 1, 2)
    assert plotting.picture(image, 2)[..., 0].tolist() == [[0, 0, 255, 255]] * 2


def test_textures_get_the_part_that_they_paint_most():
    parts = torch.tensor([[[0, 0, 4], [0, 5, 4]]])
    maps = torch.nn.functional.one_hot(torch.tensor([[[2, 2, 0], [2, 1, 0]]]), 3).float().movedim(-1, 1)
    groups = plotting.texture_parts(maps, parts)
    assert [PARTS[group] for group in groups] == ["top", "bottom", "background"]
    assert torch.allclose(plotting.painted(maps, groups), plotting.part_pictures(parts), atol=1e-6)


def test_textures_of_one_part_are_shades_that_differ():
    top = PARTS.index("top")
    colours = plotting.texture_colours([top] * 5 + [0])
    assert len({tuple(colour) for colour in colours.tolist()}) == 6
    assert 0 <= colours.min() and colours.max() <= 1


def test_figures_can_be_drawn(example):
    model, test, made = example
    groups = plotting.texture_parts(made.distribution[3], test.target_parts)
    bar = {"mean": 1.0, "low": 0.9, "high": 1.2}
    figures = [
        plotting.contact_sheet({"a": test.reference, "b": test.target[:1]}, ["one", "two"]),
        plotting.show_pose(test.pose[0]),
        plotting.show_parts(test.target, test.target_parts),
        plotting.show_transfer(test.reference, test.pose, made.image, test.target),
        plotting.show_swap(test.reference, test.donor, made.image, made.image, test.swapped),
        plotting.show_entities(test.target, test.target_parts, made.distribution),
        plotting.show_textures(
            test.reference[0], made.extraction[3][0], made.image[0], made.distribution[3][0], groups
        ),
        plotting.show_measures({"model": {"x": bar}, "copy": {"x": bar}}, {"x": "a measure"}),
        system.show_dataflow(model, test.reference, test.pose, made, test.target_parts),
    ]
    assert min(map(saved, figures)) > 3000


def test_textures_of_the_background_are_counted_and_not_drawn(example):
    _, test, made = example
    extraction, distribution = made.extraction[3][0], made.distribution[3][0]
    top, background = PARTS.index("top"), PARTS.index("background")
    groups = [top, top, top] + [background] * (len(distribution) - 3)
    shown = plotting.show_textures(test.reference[0], extraction, made.image[0], distribution, groups)
    texts = [text.get_text() for text in shown.axes[0].texts]
    assert {"0 top", "1 top", "2 top"} <= set(texts) and not [text for text in texts if text.endswith("background")]
    rest = f"{distribution[3:].sum() / distribution.sum():.0%}".replace("%", " %")
    assert f"not drawn: {len(groups) - 3} textures that paint mostly the background, {rest} of the picture" in texts


def test_skin_has_one_colour_in_a_figure_of_entities(example):
    _, test, made = example
    shown = plotting.show_entities(test.target, test.target_parts, made.distribution)
    assert [text.get_text() for text in shown.axes[0].texts][-len(GROUPS) :] == list(GROUPS)
    true_parts = shown.axes[0].images[2].get_array()  # the second row's first picture
    skin = torch.isin(test.target_parts[0], torch.tensor([PARTS.index(part) for part in GROUPS["skin"]]))
    assert len({tuple(colour) for colour in true_parts[skin.numpy()].tolist()}) == 1


def test_the_picture_grows_into_the_image(example):
    model, test, made = example
    features, pictures = system.growth(model, test.pose, Textures(made.textures, made.extraction))
    assert [tuple(picture.shape[-2:]) for picture in pictures] == [(16, 11), (32, 22), (64, 44)]
    assert features.shape[-2:] == (16, 11)
    assert torch.allclose(pictures[-1], made.image, atol=1e-6)
    watched = (model.skeleton_encoder, *model.renderer.stages)
    assert [len(module._forward_hooks) for module in watched] == [0] * len(watched), "nothing is left behind"
