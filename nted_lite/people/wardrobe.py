"""Who the people are: proportions, skin, hair and clothes, and how to swap a garment between two of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nted_lite.people.chance import Batch, Draws

ITEMS = ("top", "bottom", "hair", "shoes", "skin")

PATTERNS = ("solid", "stripes", "pinstripes", "checks", "dots", "block", "logo", "jacket")
HAIR = ("bald", "cropped", "short", "bob", "long", "bun", "ponytail", "beanie")
NECKLINES = ("round", "v", "roll")

# Colours are R G B in 0..255, as one reads them off a colour picker.
SKINS = ((250, 218, 192), (236, 188, 150), (214, 158, 116), (178, 120, 80), (134, 86, 56), (92, 58, 42))
HAIRS = ((28, 24, 26), (62, 40, 28), (112, 70, 38), (158, 82, 40), (226, 186, 104), (176, 172, 168), (140, 44, 40))
EYES = ((58, 36, 24), (44, 74, 110), (58, 84, 52))
CLOTHES = (
    (34, 35, 42), (240, 238, 232), (32, 52, 104), (204, 44, 48), (122, 26, 50), (30, 98, 66), (118, 122, 58),
    (232, 174, 44), (66, 112, 176), (140, 194, 228), (240, 154, 176), (168, 138, 204), (128, 132, 140),
    (28, 146, 150), (238, 118, 44), (110, 70, 46), (96, 46, 128), (150, 214, 172), (72, 84, 100), (226, 70, 128),
)  # fmt: skip
SHOES = ((30, 30, 34), (242, 242, 240), (120, 72, 40), (188, 40, 44), (44, 62, 110), (206, 182, 140))
# Mostly light greys, warm and cool, and some colours.
BACKDROPS = (
    (232, 232, 232), (238, 234, 226), (222, 228, 236), (214, 212, 210), (244, 244, 246), (200, 206, 212),
    (188, 206, 200), (226, 206, 196), (200, 196, 218), (170, 190, 208), (216, 204, 172), (206, 168, 166),
)  # fmt: skip


@dataclass(frozen=True)
class People(Batch):
    """b people: how they are built and what they wear. Colours are in 0..1, with R G B as the last axis.

    A dress, a coat or a tunic is a top with a long hem: all of its cloth counts as `top`, and the bottom is underneath.
    A beanie counts as hair.
    """

    height: Tensor  # b        stature, metres
    shoulders: Tensor  # b     width, relative to the average
    hips: Tensor  # b          width, relative to the average
    build: Tensor  # b         thickness of body and limbs, relative to the average
    legs: Tensor  # b          length, relative to the average
    skin: Tensor  # b 3
    eyes: Tensor  # b 3
    hair: Tensor  # b 2 3      colours of hair and beanie
    hair_style: Tensor  # b    index into HAIR
    top: Tensor  # b 2 3       two colours
    top_pattern: Tensor  # b   index into PATTERNS
    top_period: Tensor  # b    metres
    neckline: Tensor  # b      index into NECKLINES
    sleeve: Tensor  # b        0 sleeveless .. 1 elbow .. 2 wrist
    hem: Tensor  # b           metres above the hip joints; a top with less than -0.1 has a skirt (coat, dress)
    bottom: Tensor  # b 2 3    two colours
    bottom_pattern: Tensor  # b
    bottom_period: Tensor  # b metres
    skirt: Tensor  # b         bool: a skirt, instead of shorts or trousers
    bottom_length: Tensor  # b 0 hip .. 1 knee .. 2 ankle
    cut: Tensor  # b           how far trousers stand off the leg, metres
    shoes: Tensor  # b 2 3     colours of upper and sole
    boot: Tensor  # b          height of the shaft as a fraction of the shin; 0 for a shoe
    backdrop: Tensor  # b 3    colour of the background


WORN = {
    "top": ("top", "top_pattern", "top_period", "neckline", "sleeve", "hem"),
    "bottom": ("bottom", "bottom_pattern", "bottom_period", "skirt", "bottom_length", "cut"),
    "hair": ("hair", "hair_style"),
    "shoes": ("shoes", "boot"),
    "skin": ("skin",),
}


def swap(a: People, b: People, item: str) -> People:
    """Person a wearing b's item: rendered, this is the ground truth of appearance control.

    item  one of ITEMS (ValueError otherwise)
    """
    if item not in WORN:
        raise ValueError(f"item must be one of {ITEMS}, not {item!r}")
    return replace(a, **{name: getattr(b, name) for name in WORN[item]})


def _jittered(palette: tuple, pick: Tensor, noise: Tensor, spread: float) -> Tensor:
    """Look up colours and vary them a little. pick  ... indices;  noise  ... 3 in 0..1  ->  ... 3 in 0..1"""
    colours = torch.tensor(palette, dtype=torch.float32, device=pick.device)[pick] / 255
    return (colours + spread * (noise - 0.5)).clamp(0.03, 0.97)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Distance of two colours, ... 3 -> ...; green counts most because the eye (and SSIM's grey) sees it best."""
    r, g, b = (a - b).unbind(-1)
    return (0.8 * r * r + 1.4 * g * g + 0.8 * b * b).sqrt()


def _apart(draws: Draws, name: str, avoid: list[tuple[Tensor, float]]) -> Tensor:
    """A garment colour, b 3: of sixteen random ones, the first that keeps its distance from all colours in `avoid`.

    avoid  (colour b 3, smallest distance allowed) each; if no colour is far enough from all, the best one is taken
    """
    tries = 16
    drawn = _jittered(CLOTHES, draws.choice(name, [1.0] * len(CLOTHES), tries), draws(name + " jitter", tries, 3), 0.1)
    margin = torch.stack([_distance(drawn, colour[:, None]) / least for colour, least in avoid]).amin(0)
    order = torch.arange(tries, device=drawn.device)
    score = torch.where(margin >= 1, 2.0 * tries - order, margin)
    return drawn[torch.arange(len(drawn), device=drawn.device), score.argmax(1)]


def _top(draws: Draws) -> dict[str, Tensor]:
    """Cut and pattern of the top: a t-shirt, jumper, jacket, dress or coat."""
    pattern = draws.choice("top pattern", [2.2, 1.6, 1.2, 1.3, 1.1, 1.0, 1.0, 1.0])
    period = draws.between("top period", 0.13, 0.18)
    period = torch.where(pattern == PATTERNS.index("dots"), period * 0.75, period)
    jacket = pattern == PATTERNS.index("jacket")
    kind = draws.choice("sleeve", [0.9, 1.6, 0.5, 2.0])
    length = torch.tensor([0.0, 0.5, 1.0, 1.96], device=kind.device)[kind] + draws.between("sleeve length", -0.1, 0.04)
    sleeve = torch.where(jacket, 1.96, torch.where(kind == 0, 0.0, length))
    kind = draws.choice("hem", [3.2, 1.6, 1.0])
    hem = torch.where(kind == 0, draws.between("loose", 0.0, 0.06), draws.between("tucked", 0.09, 0.15))
    hem = torch.where(kind == 2, -draws.between("dress", 0.28, 0.62), hem)
    neckline = torch.where(jacket, NECKLINES.index("v"), draws.choice("neckline", [1.5, 1.0, 0.5]))
    return dict(top_pattern=pattern, top_period=period, sleeve=sleeve, hem=hem, neckline=neckline)


def _bottom(draws: Draws, dress: Tensor) -> dict[str, Tensor]:
    """Cut and pattern of the bottom; under a dress (b bool) there are shorts or trousers, never another skirt."""
    pattern = draws.choice("bottom pattern", [4.0, 0.7, 0.9, 0.9, 0.5])
    period = draws.between("bottom period", 0.11, 0.16)
    kind = draws.choice("bottom", [1.2, 2.6, 1.4])
    kind = torch.where(dress, torch.where(draws("under a dress") < 0.7, 0, 1), kind)
    low = torch.tensor([0.42, 1.9, 0.75], device=kind.device)[kind]
    high = torch.tensor([0.9, 1.95, 1.45], device=kind.device)[kind]
    length = torch.where(dress & (kind == 0), 0.4, low + (high - low) * draws("bottom length"))
    return dict(
        bottom_pattern=pattern, bottom_period=period, skirt=kind == 2, bottom_length=length,
        cut=draws.between("cut", 0.004, 0.03),
    )  # fmt: skip


@torch.no_grad()
def sample_people(seed: int, index: Tensor) -> People:
    """Sample people; person i depends only on (seed, i).

    seed     any integer, see `dataset.SPLITS`
    index    b int64   which people
    returns  People of b, on the device of `index`
    """
    draws = Draws(seed, index)
    skin = _jittered(SKINS, draws.choice("skin", [1.0] * 6), draws("skin jitter", 3), 0.05)
    backdrop = _jittered(BACKDROPS, draws.choice("backdrop", [2.0] * 6 + [1.0] * 6), draws("backdrop jitter", 3), 0.05)
    hair = _jittered(HAIRS, draws.choice("hair", [2.0, 2.0, 1.5, 1.0, 1.5, 0.7, 0.6]), draws("hair jitter", 3), 0.06)
    top = _apart(draws, "top colour", [(skin, 0.38), (backdrop, 0.25)])
    second = _apart(draws, "top second", [(top, 0.5), (skin, 0.25), (backdrop, 0.15)])
    bottom = _apart(draws, "bottom colour", [(top, 0.4), (skin, 0.38), (backdrop, 0.25)])
    second_bottom = _apart(draws, "bottom second", [(bottom, 0.4), (skin, 0.2), (backdrop, 0.15)])
    hat = _apart(draws, "hat", [(skin, 0.4), (backdrop, 0.25), (hair, 0.3)])
    shoes = _jittered(SHOES, draws.choice("shoes", [2.0, 2.0, 1.3, 0.8, 0.8, 0.6]), draws("shoes jitter", 3), 0.06)
    sole = torch.where((draws("sole") < 0.5)[:, None], 0.92, shoes * 0.55)
    garments = _top(draws)
    return People(
        height=draws.between("height", 1.62, 1.86), shoulders=draws.between("shoulders", 0.9, 1.1),
        hips=draws.between("hips", 0.92, 1.1), build=draws.between("build", 0.88, 1.16),
        legs=draws.between("legs", 0.96, 1.04), skin=skin, backdrop=backdrop,
        eyes=_jittered(EYES, draws.choice("eyes", [2.0, 1.0, 1.0]), draws("eyes jitter", 3), 0.03),
        hair=torch.stack([hair, hat], 1),
        hair_style=draws.choice("hair style", [0.5, 0.8, 2.0, 1.3, 1.7, 1.0, 1.0, 0.8]),
        top=torch.stack([top, second], 1), **garments,
        bottom=torch.stack([bottom, second_bottom], 1), **_bottom(draws, garments["hem"] < -0.1),
        shoes=torch.stack([shoes, sole], 1),
        boot=torch.where(draws("boots") < 0.22, draws.between("shaft", 0.3, 0.75), 0.0),
    )  # fmt: skip
