"""The two networks that compare photographs, LPIPS on AlexNet and the Inception of FID, through torchmetrics.

They need the extra `eval`, and weights that are published elsewhere. Importing torchmetrics imports torchvision, which
fails if it was built for another torch; so it is imported only here, where it is needed.
"""

import importlib
from pathlib import Path

from torch import nn

from nted_lite.weights import hub

WEIGHTS = {
    "LPIPS": ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"),
    "FID": (
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
    ),
}
"""Where the weights are published, and the first digits of their sha256"""


def weights(measure: str) -> Path:
    """The file in torch hub's cache with the weights for "LPIPS" or "FID"; downloaded if it is not there yet.

    Raises ValueError, in one line, if the extra `eval` is not installed, or the file is damaged or unavailable.
    """
    for library in ("torchvision", "torch_fidelity", "torchmetrics.image"):
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise ValueError(f'{library} is missing ({error}): pip install "nted-lite[eval]"') from error
        except RuntimeError as error:
            again = "pip install --force-reinstall --no-deps torchvision, from the index that torch came from"
            raise ValueError(f"this {library} was built for another torch ({error}): {again}") from error
    return hub.weights(*WEIGHTS[measure])


def lpips() -> nn.Module:
    """LPIPS on AlexNet (1801.03924): two pictures b 3 h w in -1..1 -> b 1 1 1. Raises ValueError like `weights`."""
    weights("LPIPS")
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity("alex").net


def inception_distance() -> nn.Module:
    """FID (1706.08500): `update(pictures, real=...)`, then `compute()`.

    Its pictures are b 3 h w *uint8*: it would truncate floats, whereas a picture file rounds them. Raises ValueError
    like `weights`.
    """
    weights("FID")
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(feature=2048, antialias=True)
