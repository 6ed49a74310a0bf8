"""Panels for notebooks: drag a pose, follow a texture, swap a garment, or move any sliders of a picture."""

from nted_lite.widgets.ablations import AblationBrowser
from nted_lite.widgets.entities import EntityExplorer
from nted_lite.widgets.panel import Panel
from nted_lite.widgets.pose import Puppet
from nted_lite.widgets.wardrobe import Wardrobe

__all__ = ["AblationBrowser", "EntityExplorer", "Panel", "Puppet", "Wardrobe"]
