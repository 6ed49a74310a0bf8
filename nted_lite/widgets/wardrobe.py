"""Garment swaps: pick a person, a pose and a donor, and see the swap next to the ground truth."""

import ipywidgets
import torch

from nted_lite.control import fuse, wear
from nted_lite.features import PeopleParser
from nted_lite.images import picture, png
from nted_lite.model import NTED
from nted_lite.people import SPLITS, render, sample_people, sample_poses, swap
from nted_lite.widgets.boxes import Column, Row, titled

GARMENTS = ("top", "bottom", "hair", "shoes")  # names that are both a part of a picture and an item that people wear


class Wardrobe(Column):
    """Controls for the person, the pose, the donor of a garment, and how far to go, with four pictures below.

    people  number of test people to choose from

    `person`, `stance`, `donor` and `strength` are sliders, and `part` is a menu; `made` is the generated image, 3 h w.
    """

    def __init__(self, model: NTED, parser: PeopleParser, people: int = 24):
        self.model, self.parser = model, parser
        self.device = next(model.parameters()).device

        def slider(title: str, value: int) -> ipywidgets.IntSlider:
            return ipywidgets.IntSlider(value, 0, people - 1, description=title, continuous_update=False)

        self.person, self.stance, self.donor = slider("person", 0), slider("pose of", 1), slider("donor", 2)
        self.part = ipywidgets.Dropdown(options=GARMENTS, description="whose")
        self.strength = ipywidgets.FloatSlider(1.0, min=0, max=1, step=0.1, continuous_update=False)
        self.strength.description = "how far"
        self.pictures = {name: ipywidgets.Image(format="png") for name in ("person", "donor", "made", "truth")}
        controls = (self.person, self.stance, self.donor, self.part, self.strength)
        left, right = Column(controls[:3]), Column(controls[3:])
        shown = [titled(name, image) for name, image in self.pictures.items()]
        super().__init__([Row([left, right]), Row(shown)])
        for control in controls:
            control.observe(lambda _: self.render(), "value")
        self.render()

    @torch.no_grad()
    def render(self) -> None:
        """Dress the person and draw all four pictures."""
        seed, height, part = SPLITS["test"], self.model.config.height, self.part.value
        index = torch.tensor([self.person.value, self.donor.value], device=self.device)
        people = sample_people(seed, index)
        views = render(people, sample_poses(seed, index, 0), height)
        stance = sample_poses(seed, torch.tensor([self.stance.value], device=self.device), 1)
        truth = render(swap(people[:1], people[1:], part), stance, height)
        pose = self.model.pose_map(truth.keypoints, truth.visible)
        person, donor = views.image[:1], views.image[1:]
        _, chosen = wear(self.model, self.parser, person, donor, pose, part)
        textures = fuse(
            self.model.extract(person), self.model.extract(donor), [a * self.strength.value for a in chosen]
        )
        self.made = self.model.render(pose, textures).image[0]
        for name, image in zip(self.pictures, (person[0], donor[0], self.made, truth.image[0])):
            self.pictures[name].value = png(picture(image, 4))
