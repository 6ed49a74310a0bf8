"""Random numbers that belong to a person, not to a batch, and the small base class of all batched records.

A random generator hands out its numbers in order, so person 7 would look different in another batch. Here every number
is a hash of (seed, index, view, name, slot), so it is the same in any batch and on any device.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

MASK = 0xFFFFFFFF  # 32-bit words are kept in int64: torch has no unsigned shifts


@dataclass(frozen=True)
class Batch:
    """A frozen dataclass whose fields are tensors (or other Batches) that share their first axis, `b`."""

    def _map(self, function) -> Self:
        return replace(self, **{f.name: function(getattr(self, f.name)) for f in fields(self)})

    def __getitem__(self, rows) -> Self:
        """Select along b with a slice or an index tensor; an integer keeps the axis and gives a batch of one."""
        if isinstance(rows, int):
            rows = torch.tensor([rows])
        return self._map(lambda x: x[rows.to(x.device) if isinstance(rows, Tensor) and isinstance(x, Tensor) else rows])

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def to(self, device: torch.device | str) -> Self:
        return self._map(lambda x: x.to(device))

    @classmethod
    def cat(cls, batches: list[Self]) -> Self:
        """Join batches along b."""

        def join(values: list):
            return torch.cat(values) if isinstance(values[0], Tensor) else type(values[0]).cat(values)

        return cls(**{f.name: join([getattr(x, f.name) for x in batches]) for f in fields(cls)})


def mix(x: Tensor) -> Tensor:
    """Scramble 32-bit words (held in int64) so that neighbouring ones have nothing in common.

    The constants are those of Chris Wellons' `lowbias32`; products overflow int64, but their low 32 bits stay correct.
    """
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)


class Draws:
    """Uniform numbers in [0, 1) for a batch of people: `draws("hair")` is b, `draws("jitter", 2, 3)` is b 2 3.

    seed   any integer
    index  b   integers, which people (ValueError otherwise)
    view   number of the picture, one for all or b
    """

    def __init__(self, seed: int, index: Tensor, view: int | Tensor = 0):
        if index.ndim != 1 or index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
            raise ValueError(f"index must be a 1-D tensor of integers, not {index.dtype} of shape {tuple(index.shape)}")
        index = index.long()
        view = torch.as_tensor(view, device=index.device).long().expand_as(index)
        word = torch.full_like(index, seed & MASK)
        for key in (torch.full_like(index, (seed >> 32) & MASK), index & MASK, (index >> 32) & MASK, view & MASK):
            word = mix(word ^ mix((key + 0x9E3779B9) & MASK))
        self.word = word

    def __call__(self, name: str, *shape: int) -> Tensor:
        slots = torch.arange(int(torch.Size(shape).numel()), device=self.word.device)
        words = mix(mix(self.word ^ zlib.crc32(name.encode()))[:, None] ^ mix(slots + 1))
        # 24 bits fill a float32 exactly; more would round up to 1.
        return ((words >> 8).float() / 2**24).reshape(len(self.word), *shape)

    def between(self, name: str, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * self(name, *shape)

    def choice(self, name: str, weights: list[float], *shape: int) -> Tensor:
        """An integer 0 .. len(weights) - 1, each with a probability proportional to its weight."""
        edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
        edges = (edges / edges[-1]).float()[:-1].to(self.word.device)
        return torch.bucketize(self(name, *shape), edges, right=True)


def cos_sin(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, rounded to multiples of 2**-20.

    The last bits of a sine depend on the position of its angle in a vector register, thus on the batch; rounding
    removes them.
    """
    return (angle.cos() * 2**20).round() / 2**20, (angle.sin() * 2**20).round() / 2**20
