"""Clothes parsers: labels of any spelling find their part, and a segmentation model of transformers takes part."""

import re

import pytest
import torch

from nted_lite.clothes import ClothesParser, clothes_parser, part_of
from nted_lite.control import area_of
from nted_lite.people import PARTS

transformers = pytest.importorskip("transformers")

ATR = (
    "Background Hat Hair Sunglasses Upper-clothes Skirt Pants Dress Belt Left-shoe Right-shoe Face Left-leg Right-leg "
    "Left-arm Right-arm Bag Scarf"
).split()


def segformer(labels):
    """A SegFormer with random weights, as small as they come."""
    config = transformers.SegformerConfig(
        num_encoder_blocks=4, depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=8,
        id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)},
    )  # fmt: skip
    return transformers.SegformerForSemanticSegmentation(config).eval()


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("Upper-clothes", "top"), ("upper_clothes", "top"), ("UpperClothes", "top"), ("Dress", "top"),
        ("shirt, blouse", "top"), ("top, t-shirt, sweatshirt", "top"), ("Jumpsuits", "top"), ("Pants", "bottom"),
        ("Skirt", "bottom"), ("shorts", "bottom"), ("Hair", "hair"), ("Hat", "hair"), ("Left-shoe", "shoes"),
        ("right shoe", "shoes"), ("shoes", "shoes"), ("Left-arm", "arms"), ("Right-leg", "legs"), ("Face", "face"),
        ("Bag", "background"), ("Belt", "background"), ("hair accessory", "background"), ("", "background"),
    ],
)  # fmt: skip
def test_labels_find_their_part(label, part):
    assert part_of(label) == part


def test_parts_are_the_summed_probabilities_of_their_labels():
    parser = ClothesParser(segformer(ATR))
    image = torch.rand(2, 3, 64, 44) * 2 - 1
    parts = parser.parse(image).parts
    assert parts.shape == (2, len(PARTS), 64, 44)
    pixels = ((image + 1) / 2 - parser.mean) / parser.std
    logits = torch.nn.functional.interpolate(parser.network(pixel_values=pixels).logits, (64, 44), mode="bilinear")
    for place, part in enumerate(PARTS):
        wanted = sum(p for p, label in zip(logits.softmax(1).unbind(1), ATR, strict=True) if part_of(label) == part)
        torch.testing.assert_close(parts[:, place].exp(), wanted)
    torch.testing.assert_close(parts.exp().sum(1), torch.ones(2, 64, 44))
    assert torch.equal(area_of(parser, image, "top"), parts.argmax(1) == PARTS.index("top"))


def test_a_folder_of_transformers_is_loaded(tmp_path):
    network = segformer(ATR)
    network.save_pretrained(tmp_path)
    means = '{"image_processor_type": "SegformerImageProcessor", "size": {"height": 96, "width": 64}, "image_mean": '
    (tmp_path / "preprocessor_config.json").write_text(means + "[0.5, 0.5, 0.5]}")
    parser = clothes_parser(str(tmp_path), "top")
    assert parser.size == (96, 64) and parser.mean.flatten().tolist() == [0.5] * 3
    image = torch.rand(1, 3, 64, 44) * 2 - 1
    again = ClothesParser(network, (96, 64), (0.5, 0.5, 0.5))
    torch.testing.assert_close(parser.parse(image).parts, again.parse(image).parts)


def test_a_parser_without_the_label_says_so_in_one_line(tmp_path):
    segformer(["wall", "sky", "person"]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no label for top .*; it has wall, sky, person") as refused:
        clothes_parser(str(tmp_path), "top")
    assert str(refused.value).startswith(f"{tmp_path}: ") and "\n" not in str(refused.value)


def test_something_else_is_no_parser(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: not a segmentation model")) as refused:
        clothes_parser(str(tmp_path), "top")
    assert "\n" not in str(refused.value)
