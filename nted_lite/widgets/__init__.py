"""Panels for notebooks: drag a pose, follow a texture, swap clothes, compare ablations, watch a training."""

from nted_lite.widgets.ablations import AblationBrowser
from nted_lite.widgets.entities import EntityExplorer
from nted_lite.widgets.monitor import TrainingMonitor
from nted_lite.widgets.panel import Panel
from nted_lite.widgets.pose import Puppet
from nted_lite.widgets.wardrobe import Wardrobe

__all__ = ["AblationBrowser", "EntityExplorer", "Panel", "Puppet", "TrainingMonitor", "Wardrobe"]
