"""Appearance control: dress one person in somebody else's garment by exchanging neural textures.

NTED (2204.06160), section 3.4. The model was never told about parts of the body, so the textures of a garment are found
by where the renderer puts them. `select` says which lie on the garment, `fuse` takes those from the second person,
`refine` improves the choice by gradient descent, and coefficients between 0 and 1 interpolate. Notebook 09 builds it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from nted_lite.entities import GROUPS
from nted_lite.model import NTED, Rendering, Textures
from nted_lite.people import PARTS

Maps = Sequence[Sequence[Tensor]]
"""Distribution maps, b k h w, of several pictures, each with one map per operation"""


def select(distributions: Maps, masks: Sequence[Tensor], threshold: float = 3.0) -> list[Tensor]:
    """Which textures make up an area of interest, by the paper's rule: those that paint a large share of the area.

    distributions  for each picture (such as reference and garment), b k h w per operation
    masks          for each picture, b H W, bool: its area of interest
    threshold      a texture is chosen if its mean share of the area is at least `threshold / k` in any of the pictures
    returns        b k per operation: 1 if the texture is chosen, else 0
    """
    largest = _largest(_mean_over, distributions, masks)
    return [(share >= threshold / share.shape[1]).float() for share in largest]


def select_pure(distributions: Maps, masks: Sequence[Tensor], purity: float = 0.5) -> list[Tensor]:
    """Which textures make up an area of interest: those that paint little else. Arguments and result as in `select`.

    purity  a texture is chosen if at least this share of what it paints lies in the area, in any of the pictures;
            0.5 was chosen on the validation split of the synthetic people

    A departure from the paper that changes less outside the area: a texture that paints much of a shirt *and* much of
    the arms passes the paper's rule, but not this one.
    """
    return [(pure >= purity).float() for pure in _largest(inside, distributions, masks)]


def _largest(measure: Callable, distributions: Maps, masks: Sequence[Tensor]) -> list[Tensor]:
    """A measure of (map, mask) for each operation, the maximum over the pictures. -> b k per operation"""
    each = [[measure(d, mask) for d in operations] for operations, mask in zip(distributions, masks, strict=True)]
    return [torch.stack(values).amax(0) for values in zip(*each, strict=True)]


def _covered(distribution: Tensor, mask: Tensor) -> Tensor:
    """How much of each of the map's positions a mask, b H W, covers, 0..1. -> b 1 h w"""
    mask = rearrange(mask.float(), "b h w -> b 1 h w")
    return F.interpolate(mask, size=distribution.shape[-2:], mode="area")


def _mean_over(distribution: Tensor, mask: Tensor) -> Tensor:
    """Mean of a map b k h w over a mask b H W -> b k; 0 where the mask is empty."""
    area = _covered(distribution, mask)
    return reduce(distribution * area, "b k h w -> b k", "sum") / reduce(area, "b 1 h w -> b 1", "sum").clamp_min(1e-6)


def inside(distribution: Tensor, mask: Tensor) -> Tensor:
    """The share of a map b k h w that lies inside a mask b H W -> b k"""
    within = reduce(distribution * _covered(distribution, mask), "b k h w -> b k", "sum")
    return within / reduce(distribution, "b k h w -> b k", "sum").clamp_min(1e-6)


def fuse(reference: Textures, garment: Textures, coefficients: Sequence[Tensor]) -> Textures:
    """Move from the reference's textures towards the garment's: `T_r + a (T_g - T_r)`.

    coefficients  a, b k (or k) per operation: 0 keeps the reference's texture, 1 takes the garment's

    For appearance flow, the result holds the photos of both, and the last operation's coefficients say how much of each
    texture comes from which. The extraction maps stay the reference's.
    """
    vectors = tuple(
        torch.lerp(r, g, a[..., None]) for r, g, a in zip(reference.vectors, garment.vectors, coefficients, strict=True)
    )
    photos = reference.photos and reference.photos.towards(garment.photos, coefficients[-1])
    return Textures(vectors, reference.extraction, photos)


def area_of(parser: nn.Module, image: Tensor, part: str, least: float | None = None) -> Tensor:
    """Where a parser sees a part.

    parser   its `parse(image).parts` are logits of PARTS, b 8 h w: `features.PeopleParser` or `clothes.ClothesParser`
    image    b 3 h w   about -1..1
    part     one of PARTS, or a group of them: "skin" is face, arms and legs. Raises ValueError otherwise
    least    probability from which on a pixel counts, 0..1; None: where no other part is more likely
    returns  b h w bool
    """
    names = GROUPS.get(part, (part,))
    if not set(names) <= set(PARTS):
        raise ValueError(f"no part {part!r}; there are {', '.join(dict.fromkeys((*GROUPS, *PARTS)))}")
    logits = parser.parse(image.clamp(-1, 1)).parts
    index = torch.tensor([PARTS.index(name) for name in names], device=logits.device)
    if least is None:
        return torch.isin(logits.argmax(dim=1), index)
    return reduce(logits.softmax(dim=1)[:, index], "b p h w -> b h w", "sum") >= least


# ----------------------------------------------------------------------------------------------------------- refinement


@dataclass(frozen=True)
class Refinement:
    """How `refine` descends. The defaults were chosen on the validation split of the synthetic people."""

    steps: int = 8
    """steps of Adam; the paper takes 200 smaller ones"""
    lr: float = 0.03
    """its learning rate: a coefficient moves by about that much in each step; in the paper 0.01"""
    scale: float = 3e4
    """weight of both distances against the regularisation; in the paper 3e5, for pictures of many more pixels"""
    maintain: float = 8.0
    """weight of the distance outside the garment, relative to the one inside; in the paper 10"""
    threshold: float = 3.0
    """a texture is dominant in an area if its mean share there is at least `threshold / k`; as in the paper"""
    parse_every: int = 4
    """steps after which the garment is looked for again in the generated image; in the paper 50"""
    least: float = 0.3
    """probability from which on a pixel belongs to the garment: a generated garment is often too vague for a parser to
    be sure of it, and whatever it misses would be maintained instead of edited"""


@torch.no_grad()
def refine(
    model: NTED, parser: nn.Module, features: Callable[[Tensor], Sequence[Tensor]], textures: Sequence[Textures],
    renderings: Sequence[Rendering], pose: Tensor, coefficients: Sequence[Tensor], part: str = "top",
    how: Refinement = Refinement(),
) -> list[Tensor]:  # fmt: skip
    """Improve the coefficients of a swap by gradient descent; the weights of the model stay as they are.

    parser        see `area_of`
    features      a frozen network from images b 3 h w to a list of feature maps, for the perceptual distance
    textures      of the reference and of the garment
    renderings    of both, in the pose
    pose          b 20 h w
    coefficients  b k per operation, to start from: what `select` or `select_pure` returned
    part          the garment, see `area_of`
    how           steps, rate and weights
    returns       b k per operation, 0..1

    NTED (2204.06160), section 3.4. The generated image shall look like the reference outside the garment (maintain),
    like the other person inside it (edit), and a texture shall be taken from where it belongs (regularise):

        scale * (how.maintain * maintain + edit) + pull

    where `maintain` and `edit` are distances in an area, divided by its pixels, and `pull` is the regularisation.

    Each swap of a batch descends by itself, so the result does not depend on who else is in the batch. A departure from
    the paper: coefficients stay within 0..1, because the renderer knows no textures beyond those of the two people.
    """
    reference, garment = (rendering.image for rendering in renderings)
    worn = [area_of(parser, image, part, how.least) for image in (reference, garment)]
    coefficients = [a.clone().requires_grad_() for a in coefficients]
    adam = torch.optim.Adam(coefficients, how.lr)
    for step in range(how.steps):
        with torch.enable_grad():
            now = model.render(pose, fuse(*textures, coefficients))
            if step % how.parse_every == 0:
                made = area_of(parser, now.image.detach(), part, how.least)
                around, within = ~(worn[0] | worn[1] | made), worn[1]
                kept, wanted = _masked(features, reference, around), _masked(features, garment, within)
            maintain = _distance(_masked(features, now.image, around), kept, around)
            edit = _distance(_masked(features, now.image, within), wanted, within)
            pulled = pull(coefficients, now.distribution, made, how.threshold)
            loss = (how.scale * (how.maintain * maintain + edit) + pulled).sum()
        for a, gradient in zip(coefficients, torch.autograd.grad(loss, coefficients), strict=True):
            a.grad = gradient  # of the coefficients alone: nothing is computed for the weights
        adam.step()
        for a in coefficients:
            a.clamp_(0, 1)
    return [a.detach() for a in coefficients]


def _masked(features: Callable, image: Tensor, mask: Tensor) -> Sequence[Tensor]:
    """Features of what a mask, b h w, leaves of an image, b 3 h w."""
    return features(image * rearrange(mask, "b h w -> b 1 h w"))


def _distance(a: Sequence[Tensor], b: Sequence[Tensor], mask: Tensor) -> Tensor:
    """The perceptual distance of each image, divided by the pixels in its mask, b h w. -> b"""
    layers = [reduce((x - y).abs(), "b c h w -> b", "mean") for x, y in zip(a, b, strict=True)]
    return torch.stack(layers).sum(0) / reduce(mask.float(), "b h w -> b", "sum").clamp_min(1)


def pull(coefficients: Sequence[Tensor], distributions: Sequence[Tensor], mask: Tensor, threshold: float) -> Tensor:
    """The regularisation of `refine`: textures that are dominant inside a mask are pulled to 1, those outside to 0.

    coefficients   b k per operation
    distributions  b k h w per operation; no gradient flows into them
    mask           b H W, bool
    threshold      a texture pulls if its mean share of the area is at least `threshold / k`
    returns        b
    """
    pulls = []
    for a, distribution in zip(coefficients, distributions, strict=True):
        for where, missing in ((mask, F.relu(1 - a)), (~mask, F.relu(a))):
            share = _mean_over(distribution.detach(), where)
            pulls.append(reduce(share * (share >= threshold / a.shape[1]) * missing, "b k -> b", "sum"))
    return torch.stack(pulls).sum(0)


# ------------------------------------------------------------------------------------------------------ the whole swap


@torch.no_grad()
def wear(
    model: NTED, parser: nn.Module, reference: Tensor, garment: Tensor, pose: Tensor, part: str = "top",
    choose: Callable | None = None, refinement: Refinement | None = None, features: Callable | None = None,
) -> tuple[Rendering, list[Tensor]]:  # fmt: skip
    """The reference person in a pose, wearing somebody else's garment.

    parser      finds the garment, see `area_of`
    reference   b 3 h w   -1..1, the person
    garment     b 3 h w   -1..1, the person whose garment to take
    pose        b 20 h w  0..1, see `NTED.pose_map`
    part        the garment, see `area_of`
    choose      decides which textures make up the garment; None: `select_pure`, or if the result is refined, `select`
    refinement  how to improve that choice by gradient descent; None: not at all
    features    network of the perceptual distance for the refinement; None: the people parser itself
    returns     the rendering, and the coefficients, b k per operation, that it was generated with
    """
    textures = [model.extract(image) for image in (reference, garment)]
    renderings = [model.render(pose, t) for t in textures]
    return exchange(model, parser, textures, renderings, pose, part, choose, refinement, features)


@torch.no_grad()
def exchange(
    model: NTED, parser: nn.Module, textures: Sequence[Textures], renderings: Sequence[Rendering], pose: Tensor,
    part: str = "top", choose: Callable | None = None, refinement: Refinement | None = None,
    features: Callable | None = None,
) -> tuple[Rendering, list[Tensor]]:  # fmt: skip
    """The second half of `wear`, once both people's textures are extracted and rendered in the pose.

    A variant of the model without maps cannot choose textures, so nothing is changed.
    """
    if not renderings[0].distribution:
        return renderings[0], []
    masks = [area_of(parser, rendering.image, part) for rendering in renderings]
    choose = choose or (select if refinement else select_pure)
    coefficients = choose([rendering.distribution for rendering in renderings], masks)
    if refinement:
        coefficients = refine(
            model, parser, features or parser, textures, renderings, pose, coefficients, part, refinement
        )
    return model.render(pose, fuse(*textures, coefficients)), coefficients
