"""Panels for notebooks: drag a pose, swap a garment, move any sliders that a picture depends on, watch a training."""

from nted_lite.widgets.monitor import TrainingMonitor
from nted_lite.widgets.panel import Panel
from nted_lite.widgets.pose import PoseCanvas, PoseEditor
from nted_lite.widgets.wardrobe import Wardrobe

__all__ = ["Panel", "PoseCanvas", "PoseEditor", "TrainingMonitor", "Wardrobe"]
