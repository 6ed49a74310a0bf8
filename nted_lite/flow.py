"""Appearance flow: the photo's own pixels, carried to where they belong, for what a texture cannot hold.

A texture is one vector for a whole area of the photo, and the two colours of a stripe become one in it. So the renderer
may also fetch pixels: every position of the target asks "who am I?", every position of the photo answers, and the
expected place of the answer says where to look. What comes back is blended into the image where it helps.

A departure from the paper, off unless `ModelConfig.appearance_flow`. To fetch pixels along a flow is the idea of Zhou
et al. (1605.03557); to find it by comparing positions costs `m * m`, so it is done at 32 rows only and refined at full
resolution. Notebook 10 builds it, and compares it with the model without it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import einsum, pack, rearrange, reduce, repeat
from torch import Tensor, nn

from nted_lite.config import ModelConfig
from nted_lite.layers import Activation, EqualConv2d

FLOW_LEVEL = 1
"""Positions are compared at this level: 32 rows"""
DESCRIPTOR_LENGTH = 32
"""Length of what a position says about itself"""
REACH = 0.2
"""How far the refinement may move a point of the flow, where 2 is the whole picture"""


@dataclass(frozen=True)
class Photos:
    """The photos behind the textures; s is their number: one, until textures of several are mixed."""

    pixels: Tensor
    """b s 3 H W, -1..1"""
    descriptors: Tensor
    """b s d h w: what each position of a photo shows, as unit vectors"""
    shares: Tensor
    """b s k: how much of each texture of the last operation comes from which photo; sums to 1 over s"""

    def towards(self, other: "Photos", amount: Tensor) -> "Photos":
        """The photos of both, where each texture's share moves to the others by an amount 0..1: k, or b k."""
        amount = amount.expand(len(self.shares), -1)[:, None]
        shares, _ = pack([self.shares * (1 - amount), other.shares * amount], "b * k")
        pixels, _ = pack([self.pixels, other.pixels], "b * c h w")
        descriptors, _ = pack([self.descriptors, other.descriptors], "b * d h w")
        return Photos(pixels, descriptors, shares)


def positions(height: int, width: int, like: Tensor) -> Tensor:
    """The centre of each pixel as (x, y), -1..1 from edge to edge, as `grid_sample` counts. -> 2 h w"""
    y, x = ((2 * torch.arange(n, device=like.device, dtype=like.dtype) + 1) / n - 1 for n in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def carry(pixels: Tensor, flow: Tensor) -> Tensor:
    """Fetch each pixel from where the flow points to.

    pixels   b c H W
    flow     b 2 h w   (x, y) in the picture, -1..1; points outside are moved to the edge
    returns  b c h w
    """
    where = rearrange(flow.to(pixels.dtype), "b c h w -> b h w c")
    return F.grid_sample(pixels, where, padding_mode="border", align_corners=False)


class Descriptor(nn.Module):
    """What each position shows, as a unit vector."""

    def __init__(self, channels: int):
        super().__init__()
        self.hidden = EqualConv2d(channels, channels, 3, padding=1)
        self.activate = Activation(channels)
        self.out = EqualConv2d(channels, DESCRIPTOR_LENGTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """b c h w -> b d h w, of length 1 over d"""
        return F.normalize(self.out(self.activate(self.hidden(features))), dim=1, eps=1e-6)


class AppearanceFlow(nn.Module):
    """Compare positions, fetch pixels, and blend them into the image."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        fine = config.channels[-1]
        self.query = Descriptor(config.channels[FLOW_LEVEL])
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.refine = nn.Sequential(
            EqualConv2d(fine + 4, fine, 3, padding=1), Activation(fine), EqualConv2d(fine, 2, 3, padding=1)
        )
        self.blend = nn.Sequential(
            EqualConv2d(fine + 6, fine, 3, padding=1), Activation(fine), EqualConv2d(fine, 4, 3, padding=1, bias=True)
        )
        # At first the flow is not corrected, and an eighth of the image is what was carried: a trained model that is
        # given this path still draws nearly what it drew.
        nn.init.zeros_(self.refine[-1].weight)
        nn.init.zeros_(self.blend[-1].weight)
        nn.init.constant_(self.blend[-1].bias[:1], -2.0)

    def forward(
        self, coarse: Tensor, fine: Tensor, image: Tensor, distribution: Tensor, photos: Photos
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add the photos' pixels to an image.

        coarse        b i 32 22  the renderer's features at 32 rows
        fine          b o h w    its features at full resolution
        image         b 3 h w    the image so far
        distribution  b k h' w'  of the last operation: it decides between several photos
        returns       b 3 h w    the image
                      b 3 h w    the carried pixels
                      b s 2 h w  the flow into each photo, (x, y), -1..1; the correction may lead a little outside
        """
        b, s = photos.shares.shape[:2]
        size = fine.shape[-2:]

        # Where does this come from? The expected position over the whole photo.
        described = rearrange(photos.descriptors, "b s d h w -> b s d (h w)")
        similar = einsum(self.query(coarse), described, "b d h w, b s d m -> b s h w m") * self.sharpness
        there = rearrange(positions(*photos.descriptors.shape[-2:], photos.pixels), "c h w -> c (h w)")
        attention = similar.float().softmax(dim=-1)
        # Not by einsum: in mixed precision, a matrix product would round places to a quarter of a pixel.
        origin = torch.stack([reduce(attention * axis, "b s h w m -> b s h w", "sum") for axis in there], dim=2)
        origin = _resize(rearrange(origin, "b s c h w -> (b s) c h w"), size)

        # A small correction at full resolution, then the pixels themselves.
        here = repeat(positions(*size, photos.pixels), "c h w -> n c h w", n=b * s)
        each, _ = pack([repeat(fine, "b c h w -> (b s) c h w", s=s), origin, here], "n * h w")
        flow = origin + REACH * self.refine(each).tanh()
        fetched = carry(rearrange(photos.pixels, "b s c h w -> (b s) c h w"), flow)

        # One picture of them all, each photo where its textures are, blended into the image.
        share = _resize(einsum(distribution, photos.shares, "b k h w, b s k -> b s h w"), size)
        carried = einsum(rearrange(fetched, "(b s) c h w -> b s c h w", s=s), share, "b s c h w, b s h w -> b c h w")
        known, _ = pack([fine, carried, image], "b * h w")
        gate, change = self.blend(known).split([1, 3], dim=1)
        image = image + gate.sigmoid() * (carried - image) + change
        return image, carried, rearrange(flow, "(b s) c h w -> b s c h w", s=s)


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
