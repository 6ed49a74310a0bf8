"""The whole system in one picture, drawn from a real example: what a reader of `model.py` should have in mind.

left, downwards   the reference encoder: the photo, then the pixels that each texture averages
middle            the textures
right, upwards    the renderer: which texture each pixel takes, and the picture so far
bottom            the pose, and the features that the skeleton encoder makes of it
"""

import matplotlib
import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from nted_lite.layers import upsample
from nted_lite.model import NTED, Textures, Transfer
from nted_lite.plotting import arrow, lit, painted, part_legend, put, say, sheet, stick_figures, texture_parts

TILE = 44, 64  # columns and rows of the small pictures
BOX = 88, 128  # and of the large ones
STEP = 178  # from one row of boxes to the next
TILES = 16  # at most so many textures are drawn: those that paint most of the person
MAPS, VECTORS, SHARES, GROWS = 20, 460, 660, 800  # left edges of the four columns


@torch.no_grad()
def growth(model: NTED, pose: Tensor, textures: Textures) -> tuple[Tensor, list[Tensor]]:
    """What the renderer starts from, and the picture after each of its stages.

    returns  b c 16 w                                    the skeleton features
             b 3 16 w, b 3 32 2w, ... up to the image    each stage adds its share of RGB to the enlarged last one
    """
    seen = []
    watched = (model.skeleton_encoder, *model.renderer.stages)
    hooks = [module.register_forward_hook(lambda _module, _inputs, made: seen.append(made)) for module in watched]
    model.render(pose, textures)
    for hook in hooks:
        hook.remove()
    ((features, *_), _), (_, first, _), *later = seen
    pictures = [first]
    for _, rgb, _ in later:
        pictures.append(upsample(pictures[-1], model.renderer.kernel) + rgb)
    return features, pictures


def as_colours(features: Tensor) -> Tensor:
    """Many channels as three: the features' first principal components. c h w -> 3 h w in -1..1"""
    flat = rearrange(features, "c h w -> (h w) c")
    flat = flat - flat.mean(dim=0)
    _, _, directions = torch.linalg.svd(flat, full_matrices=False)
    three = flat @ directions[:3].T
    return rearrange(three / three.abs().amax(dim=0), "(h w) c -> c h w", h=features.shape[1])


def as_heat(vectors: Tensor) -> Tensor:
    """Textures as a picture, red positive and blue negative. k c -> 3 k c in -1..1"""
    values = vectors.cpu() / vectors.abs().max().cpu()
    heat = matplotlib.colormaps["RdBu_r"]((values.numpy() + 1) / 2)[..., :3]
    return rearrange(torch.from_numpy(heat).float(), "k c rgb -> rgb k c") * 2 - 1


@torch.no_grad()
def show_dataflow(model: NTED, reference: Tensor, pose: Tensor, made: Transfer, parts: Tensor) -> Figure:
    """One person's way through NTED, with every shape.

    reference, pose  b 3 h w, b 20 h w: what went in; person 0 is drawn
    made             model(reference, pose)
    parts            b h w   ground-truth parts of the b pictures asked for; they choose the colours of the textures
    """
    levels = [level for level, k in enumerate(model.config.textures) if k]
    figure, axes = sheet(912, 22 + STEP * (len(levels) + 2))
    features, pictures = growth(model, pose, Textures(made.textures, made.extraction))
    top = 34
    _box(axes, reference[0], MAPS, top, f"reference image\n3 × {_size(reference)}", "left")
    _box(axes, made.image[0], GROWS, top, f"image\n3 × {_size(made.image)}")
    for row, level in enumerate(reversed(levels), start=1):
        number = 2 * levels.index(level) + 1  # the second operation of this resolution
        _operation(axes, reference[0], made, number, top + row * STEP, texture_parts(made.distribution[number], parts))
        _box(axes, pictures[level][0], GROWS, top + row * STEP, f"picture so far\n3 × {_size(pictures[level])}")
        y = top + row * STEP
        arrow(axes, (GROWS + BOX[0] / 2, y - 6), (GROWS + BOX[0] / 2, y - STEP + BOX[1] + 32))
    y = top + (len(levels) + 1) * STEP
    _box(axes, stick_figures(pose)[0], MAPS, y, f"target pose\n20 × {_size(pose)}", "left")
    _box(axes, as_colours(features[0]), GROWS, y, f"skeleton features\n{features.shape[1]} × {_size(features)}")
    arrow(axes, (MAPS + 190, y + BOX[1] / 2), (GROWS - 8, y + BOX[1] / 2))
    say(axes, "skeleton encoder", 480, y + BOX[1] / 2 - 12)
    arrow(axes, (GROWS + BOX[0] / 2, y - 6), (GROWS + BOX[0] / 2, y - STEP + BOX[1] + 32))
    for text, x in (("reference encoder", MAPS), ("textures", VECTORS + 64), ("renderer", GROWS)):
        say(axes, text, x, 16, "left" if x == MAPS else "center", fontsize=10, weight="bold")
    say(axes, "colours of the distribution: the part that a texture paints most", MAPS, y - 32, "left", fontsize=8)
    part_legend(axes, MAPS, y - 16)
    return figure


def _operation(axes: Axes, reference: Tensor, made: Transfer, number: int, y: float, groups: list[int]) -> None:
    """One row: the pixels each texture averages -> the textures -> who paints what."""
    extraction, vectors, shares = made.extraction[number][0], made.textures[number][0], made.distribution[number][:1]
    k, c = vectors.shape
    person = shares[0] * (torch.tensor(groups, device=shares.device) > 0)[:, None, None]
    chosen = person.sum((1, 2)).topk(min(k, TILES)).indices  # the background's come last
    tiles = lit(reference, extraction[chosen])
    lines = -(-len(tiles) // 8)
    start = y + (BOX[1] - lines * (TILE[1] + 4)) / 2
    for texture, tile in enumerate(tiles):
        put(axes, tile, MAPS + texture % 8 * (TILE[0] + 4), start + texture // 8 * (TILE[1] + 4), *TILE)
    arrow(axes, (MAPS + BOX[0] / 2, y - STEP + BOX[1] + 6), (MAPS + BOX[0] / 2, start - 20))
    which = f"{TILES} of the textures average" if k > TILES else "each texture averages"
    say(axes, f"extraction {k} × {_size(extraction)}: the pixels that {which}", MAPS, start - 10, "left")
    height = min(k * 6, BOX[1])
    middle = y + BOX[1] / 2
    put(axes, as_heat(vectors), VECTORS, middle - height / 2, 128, height)
    say(axes, f"{k} × {c}", VECTORS + 64, middle + height / 2 + 11)
    _box(axes, painted(shares, groups)[0], SHARES, y, f"distribution\n{k} × {_size(shares)}")
    arrow(axes, (MAPS + 8 * (TILE[0] + 4) + 6, middle), (VECTORS - 8, middle))
    arrow(axes, (VECTORS + 136, middle), (SHARES - 8, middle))
    arrow(axes, (SHARES + BOX[0] + 8, middle), (GROWS - 8, middle))


def _box(axes: Axes, image: Tensor, x: float, y: float, label: str, side: str = "below") -> None:
    put(axes, image, x, y, *BOX)
    if side == "below":
        say(axes, label, x + BOX[0] / 2, y + BOX[1] + 17, fontsize=8)
    else:
        say(axes, label, x + BOX[0] + 10, y + BOX[1] / 2, "left")


def _size(image: Tensor) -> str:
    return " × ".join(map(str, image.shape[-2:]))
