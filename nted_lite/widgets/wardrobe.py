"""Garment swaps: slide each part of a person towards somebody else's, next to the ground truth."""

from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor

from nted_lite.control import area_of, fuse, select_pure
from nted_lite.features import PeopleParser
from nted_lite.images import picture, png
from nted_lite.model import NTED, Rendering, Textures
from nted_lite.people import ITEMS, SPLITS, View, render, sample_people, sample_poses, swap
from nted_lite.widgets.boxes import Column, Row, titled


class Wardrobe(Column):
    """One slider for each part of a person, from her own to that of a donor, with four pictures below.

    model   any size and device
    parser  finds the parts in what the model generates
    people  number of test people to choose from

    `person`, `stance` (whose pose) and `donor` are sliders, and so is each of `parts`, by name: top, bottom, hair,
    shoes, skin. `made` is the generated image, 3 h w. The ground truth has no person between two shirts, so it shows
    the donor's part from the middle of a slider on.

    Whatever does not depend on the sliders of the parts is kept: people, textures, renderings, and the textures that
    make up each part. A move then costs one `fuse` and one pass through the renderer.
    """

    def __init__(self, model: NTED, parser: PeopleParser, people: int = 24):
        self.model, self.parser = model, parser
        self.device = next(model.parameters()).device
        # Caches of one object: lru_cache on the methods themselves would keep every Wardrobe alive.
        self._view, self._textures, self._pose, self._rendering, self._chosen, self._truth = (
            lru_cache(maxsize=256)(find)
            for find in (self._view, self._textures, self._pose, self._rendering, self._chosen, self._truth)
        )

        def choose(title: str, value: int) -> ipywidgets.IntSlider:
            return ipywidgets.IntSlider(value, 0, people - 1, description=title, continuous_update=False)

        self.person, self.stance, self.donor = choose("person", 0), choose("pose of", 1), choose("donor", 2)
        self.parts = {part: ipywidgets.FloatSlider(0, min=0, max=1, step=0.05, description=part) for part in ITEMS}
        self.parts["top"].value = 1
        self.pictures = {
            name: ipywidgets.Image(format="png") for name in ("person", "donor", "generated", "ground truth")
        }
        who, sliders = Column([self.person, self.stance, self.donor]), Column(list(self.parts.values()))
        shown = [titled(name, image) for name, image in self.pictures.items()]
        super().__init__([Row([who, sliders]), Row(shown)])
        for control in (self.person, self.stance, self.donor, *self.parts.values()):
            control.observe(lambda _: self.render(), "value")
        self.render()

    @torch.no_grad()
    def render(self) -> None:
        """Dress the person as the sliders say, and draw whatever has changed."""
        person, stance, donor = (control.value for control in (self.person, self.stance, self.donor))
        shares = {part: slider.value for part, slider in self.parts.items()}
        if any(shares.values()):
            chosen = [self._chosen(person, donor, stance, part) for part, share in shares.items() if share]
            scaled = [[share * a for a in found] for share, found in zip(filter(None, shares.values()), chosen)]
            # A texture that belongs to two parts follows the slider that is further.
            coefficients = [torch.stack(each).amax(0) for each in zip(*scaled)]
            textures = fuse(self._textures(person), self._textures(donor), coefficients)
            self.made = self.model.render(self._pose(stance, person), textures).image[0]
        else:
            self.made = self._rendering(person, person, stance).image[0]
        worn = tuple(part for part, share in shares.items() if share >= 0.5)
        images = (
            self._view(person).image[0], self._view(donor).image[0], self.made,
            self._truth(person, donor, stance, worn).image[0],
        )  # fmt: skip
        for shown, image in zip(self.pictures.values(), images, strict=True):
            self._show(shown, image)

    def _show(self, shown: ipywidgets.Image, image: Tensor) -> None:
        content = png(picture(image, max(1, 256 // image.shape[1])))
        if content != bytes(shown.value):  # an equal picture need not travel to the browser again
            shown.value = content

    def _index(self, number: int) -> Tensor:
        return torch.tensor([number], device=self.device)

    def _view(self, number: int) -> View:
        """The photo of a person."""
        index, seed = self._index(number), SPLITS["test"]
        return render(sample_people(seed, index), sample_poses(seed, index, 0), self.model.config.height)

    def _truth(self, person: int, donor: int, stance: int, parts: tuple[str, ...]) -> View:
        """The person in a pose, with these parts of the donor."""
        who, other = (sample_people(SPLITS["test"], self._index(number)) for number in (person, donor))
        for part in parts:
            who = swap(who, other, part)
        return render(who, sample_poses(SPLITS["test"], self._index(stance), 1), self.model.config.height)

    def _textures(self, number: int) -> Textures:
        return self.model.extract(self._view(number).image)

    def _pose(self, stance: int, person: int) -> Tensor:
        """The pose map of a person in somebody's pose."""
        truth = self._truth(person, person, stance, ())
        return self.model.pose_map(truth.keypoints, truth.visible)

    def _rendering(self, number: int, person: int, stance: int) -> Rendering:
        """What the model generates from a photo, where the person stands in that pose."""
        return self.model.render(self._pose(stance, person), self._textures(number))

    def _chosen(self, person: int, donor: int, stance: int, part: str) -> list[Tensor]:
        """The textures that make up a part of either of the two, b k per operation."""
        renderings = [self._rendering(number, person, stance) for number in (person, donor)]
        masks = [area_of(self.parser, rendering.image, part) for rendering in renderings]
        return select_pure([rendering.distribution for rendering in renderings], masks)
