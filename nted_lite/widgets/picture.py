"""Pictures as the bytes that an image widget shows."""

from io import BytesIO

import numpy as np
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    """h w 3, uint8, as the bytes of a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return file.getvalue()
