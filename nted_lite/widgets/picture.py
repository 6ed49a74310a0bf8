"""What the panels share: pictures as PNG, and a title above a widget."""

from io import BytesIO

import ipywidgets
import numpy as np
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    """h w 3, uint8, as the bytes of a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return file.getvalue()


def titled(title: str, *widgets: ipywidgets.Widget) -> ipywidgets.VBox:
    """Widgets below a title."""
    return ipywidgets.VBox([ipywidgets.Label(title), *widgets])
