"""Clothes parsers: any semantic segmentation model of `transformers` that finds garments in photographs.

Such a model has labels of its own. LABELS translates their names to the parts of `people.PARTS`, so that appearance
control can use it in place of the people parser.
"""

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from nted_lite.entities import GROUPS
from nted_lite.features import Parsing
from nted_lite.images import reason
from nted_lite.people import PARTS

LABELS = {
    "hair": "hair hat headwear cap",
    "face": "face head neck sunglasses glasses",
    "arms": "arm hand",
    "top": "upper-clothes upper-body top t-shirt shirt blouse sweatshirt sweater cardigan jacket vest coat dress "
           "jumpsuit",
    "bottom": "lower-clothes lower-body pants trousers jeans shorts skirt",
    "legs": "leg",
    "shoes": "shoe boot footwear",
}  # fmt: skip
"""Part -> names of labels. Left and right, plurals, case and spelling (Upper_clothes, upper clothes) do not matter, and
`shirt, blouse` is both. A dress is a top and a hat is hair, as on the synthetic people. All other labels, such as bag,
belt and scarf, count as background: they stay as they are."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, if the model does not say


def _spelled(name: str) -> str:
    """left-Shoe, Shoes, RIGHT_SHOE -> shoe"""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return "-".join(word.removesuffix("s") for word in words if word not in ("left", "right"))


def part_of(label: str) -> str:
    """The part that a label stands for; "background" if it stands for none. "Left-shoe" -> "shoes" """
    spelled = {_spelled(name) for name in label.split(",")}
    parts = (part for part, names in LABELS.items() if spelled & {_spelled(name) for name in names.split()})
    return next(parts, "background")


class ClothesParser(nn.Module):
    """A segmentation network of `transformers` that answers like the people parser.

    network    from pixels to `logits`, b labels h w; its `config.id2label` names the labels
    size       rows and columns that it was made for; None: any
    mean, std  of the pixels that it reads, for colours from 0 to 1
    """

    def __init__(
        self, network: nn.Module, size: tuple[int, int] | None = None, mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ):  # fmt: skip
        super().__init__()
        self.network, self.size = network, size
        self.labels = [name for _, name in sorted(network.config.id2label.items())]
        index = torch.tensor([PARTS.index(part_of(label)) for label in self.labels])
        self.register_buffer("belongs", F.one_hot(index, len(PARTS)).bool(), persistent=False)
        self.register_buffer("mean", rearrange(torch.tensor(mean), "c -> 1 c 1 1"), persistent=False)
        self.register_buffer("std", rearrange(torch.tensor(std), "c -> 1 c 1 1"), persistent=False)

    def check(self, part: str) -> None:
        """Raise ValueError, in one line, if none of the labels stands for a part or for one of a group of parts."""
        names = GROUPS.get(part, (part,))
        if not any(self.belongs[:, PARTS.index(name)].any() for name in names):
            wanted = " ".join(LABELS[name] for name in names)
            raise ValueError(f"the parser has no label for {part} ({wanted}); it has {', '.join(self.labels)}")

    @torch.no_grad()
    def parse(self, image: Tensor) -> Parsing:
        """Logits of PARTS at every pixel: the logarithms of the summed probabilities of each part's labels.

        image    b 3 h w   -1..1, of any size
        returns  Parsing with `parts` b 8 h w; patterns and colours are not looked for
        """
        pixels = ((image + 1) / 2 - self.mean) / self.std
        pixels = F.interpolate(pixels, self.size, mode="bilinear", antialias=True) if self.size else pixels
        logits = self.network(pixel_values=pixels).logits
        logits = F.interpolate(logits, image.shape[-2:], mode="bilinear")
        each = rearrange(logits.log_softmax(dim=1), "b n h w -> b n 1 h w")
        each = each.masked_fill(~rearrange(self.belongs, "n p -> 1 n p 1 1"), -1e4)  # as good as probability 0
        return Parsing(each.logsumexp(dim=1))


def clothes_parser(source: str, part: str) -> ClothesParser:
    """Load a clothes parser, frozen.

    source  a folder, or a hub id (user/name), of a semantic segmentation model of `transformers`
    part    the part that it will be asked for
    raises  ValueError, in one line, if there is no such model, or if it has no label for the part; ImportError if
            `transformers` is not installed
    """
    try:
        from transformers import AutoModelForSemanticSegmentation
        from transformers.image_processing_utils import BaseImageProcessor
    except ImportError as error:
        raise ImportError("--parser needs transformers: pip install -c constraints.txt -e '.[photos]'") from error
    try:
        network = AutoModelForSemanticSegmentation.from_pretrained(source).eval().requires_grad_(False)
    except Exception as error:  # the hub's errors, and those of every layer below it
        raise ValueError(f"{source}: not a segmentation model of transformers ({reason(error)[:200]})") from error
    try:
        known, _ = BaseImageProcessor.get_image_processor_dict(source)
    except OSError:  # it does not say how its pictures are prepared
        known = {}
    size = known.get("size")
    size = (size["height"], size["width"]) if isinstance(size, dict) and {"height", "width"} <= set(size) else None
    parser = ClothesParser(network, size, known.get("image_mean", MEAN), known.get("image_std", STD))
    try:
        parser.check(part)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return parser
