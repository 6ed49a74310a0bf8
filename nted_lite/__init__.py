"""nted-lite: learn, run and change Neural Texture Extraction and Distribution."""

from nted_lite.config import PRESETS, ModelConfig, TrainConfig, preset
from nted_lite.discriminator import Discriminator
from nted_lite.model import NTED, Rendering, Textures, Transfer

__all__ = [
    "NTED", "PRESETS", "Discriminator", "ModelConfig", "Rendering", "Textures", "TrainConfig", "Transfer",
    "preset",
]  # fmt: skip
