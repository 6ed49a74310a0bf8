"""Panels for notebooks: drag a pose, swap a garment, or move any sliders that a picture depends on."""

from nted_lite.widgets.panel import Panel
from nted_lite.widgets.pose import Puppet
from nted_lite.widgets.wardrobe import Wardrobe

__all__ = ["Panel", "Puppet", "Wardrobe"]
