"""Panels for notebooks: drag a pose, swap a garment."""

from nted_lite.widgets.pose import PoseCanvas, PoseEditor
from nted_lite.widgets.wardrobe import Wardrobe

__all__ = ["PoseCanvas", "PoseEditor", "Wardrobe"]
