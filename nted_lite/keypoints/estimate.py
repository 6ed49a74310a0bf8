"""Key points of people in photos, found by ViTPose through `transformers`, which the extra `photos` installs."""

import json
import logging
from collections import Counter
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.images import Framing, open_picture, reason, write_file
from nted_lite.keypoints.layouts import absent, from_coco17
from nted_lite.lists import PICTURES, find_files
from nted_lite.pose import MISSING, mark_missing

INSTALL = 'key points of photos need transformers: pip install -c constraints.txt -e ".[photos]"'
SURE = 0.3  # how confident a detector must be that something is a person


def _load(kind: str, name: str, device: str):
    """A network of `transformers` and its image processor. Raises ValueError, in one line, if there is none."""
    try:
        import transformers
    except ImportError as error:
        raise ValueError(INSTALL) from error
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name)
        network = getattr(transformers, kind).from_pretrained(name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        why = reason(error).split(". ")[0][:200]
        raise ValueError(f"{name}: cannot be loaded; give a folder, or a hub id (user/name), which needs a network "
                         f"({why})") from error  # fmt: skip
    try:
        return processor, network.eval().to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used ({reason(error)})") from error


class Estimator:
    """Finds the key points of people.

    model           ViTPose, a folder or a hub id
    detector        a network that finds people, likewise; None: one person is looked for in the whole picture
    min_confidence  joints with a lower confidence count as missing

    Raises ValueError, in one line, if a network or `transformers` is missing.
    """

    def __init__(self, model: str, detector: str | None = None, min_confidence: float = 0.3, device: str = "cpu"):
        self.processor, self.network = _load("VitPoseForPoseEstimation", model, device)
        self.detector = detector and _load("AutoModelForObjectDetection", detector, device)
        self.min_confidence, self.device = min_confidence, device
        if self.network.config.num_labels != 17:
            raise ValueError(f"{model}: finds {self.network.config.num_labels} joints, not the 17 of COCO")

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> Tensor:
        """The people in an upright RGB picture, largest box first.

        returns  p 18 3   COCO-18; x, y in the picture's pixels and the confidence; (-1, -1, 0) is missing
        """
        boxes = self._boxes(image)
        if not boxes:
            return torch.zeros(0, 18, 3)
        inputs = self.processor(image, boxes=[boxes], return_tensors="pt").to(self.device)
        experts = getattr(self.network.config.backbone_config, "num_experts", 1)
        if experts > 1:  # ViTPose+ has one expert for each data set; the first is COCO's
            inputs["dataset_index"] = torch.zeros(len(boxes), dtype=torch.int64, device=self.device)
        (found,) = self.processor.post_process_pose_estimation(self.network(**inputs), boxes=[boxes])
        points = torch.stack([torch.cat([one["keypoints"], one["scores"][:, None]], 1) for one in found]).cpu().double()
        gone = points.new_tensor([MISSING, MISSING, 0])
        return from_coco17(torch.where(points[..., 2:] < self.min_confidence, gone, points))

    def _boxes(self, image: Image.Image) -> list[list[float]]:
        """Left, top, width, height of each person in a picture, largest first."""
        if self.detector is None:
            return [[0.0, 0.0, float(image.width), float(image.height)]]
        processor, network = self.detector
        output = network(**processor(image, return_tensors="pt").to(self.device))
        sizes = torch.tensor([[image.height, image.width]])
        (found,) = processor.post_process_object_detection(output, threshold=SURE, target_sizes=sizes)
        names = network.config.id2label
        people = [box for box, label in zip(found["boxes"].tolist(), found["labels"].tolist()) if
                  names[label].lower() == "person"]  # fmt: skip
        boxes = [[left, top, right - left, bottom - top] for left, top, right, bottom in people]
        return sorted(boxes, key=lambda box: box[2] * box[3], reverse=True)


def as_json(people: Tensor, size: tuple[int, int]) -> str:
    """All people, p 18 3, in the JSON that OpenPose and ControlNet write, with the size of the picture."""
    gone = absent(people)[..., None]
    rounded = mark_missing(people.double().round(decimals=3), gone)
    seen = rounded.masked_fill(gone, 0)  # OpenPose writes zeros for a missing joint
    listed = [{"pose_keypoints_2d": one.flatten().tolist()} for one in seen]
    return json.dumps({"people": listed, "canvas_width": size[0], "canvas_height": size[1]}) + "\n"


def as_text(person: Tensor, size: tuple[int, int]) -> str:
    """One person, 18 3, as 18 lines `x y` in the published 256 x 256 frame, as a model sees a picture of this size."""
    framed = Framing.of(*size, 256, 176).apply(person[:, :2]).double() + torch.tensor([40, 0])
    framed = mark_missing(framed.round(decimals=3), absent(person)[:, None])
    return "".join(f"{x:.3f} {y:.3f}\n" for x, y in framed.tolist())


def estimate_files(estimator: Estimator, photos: Path, out: Path) -> int:
    """Write the key points of a photo, or of each photo in a folder; `nted-lite keypoints` explains the arguments.

    returns  the number of photos
    raises   ValueError, in one line, if something cannot be read or written, or nobody is found in the only photo;
             a photo in a folder without people gets a file without people, and a notice. Of a folder, all photos that
             can be read are done first, and out/problems.log has a line for each of the others
    """
    if photos.is_dir():
        found = find_files(photos, PICTURES)
        if not found:
            raise ValueError(f"{photos}: no photos")
        targets = [out / photo.relative_to(photos).with_suffix(".json") for photo in found]
        if clash := [target for target, number in Counter(targets).items() if number > 1]:
            raise ValueError(f"{photos}: several photos are named {min(clash).stem}; rename them")
        empty, problems, listing = [], [], out / "problems.log"  # a .txt would pass for key points
        for photo, target in zip(tqdm(found, desc="key points", disable=None), targets):
            try:
                people, size = _people(estimator, photo)
            except ValueError as error:
                problems.append(f"{error}\n")
                continue
            write_file(target, as_json(people, size).encode())
            empty += [] if len(people) else [photo]
        if empty:
            logging.getLogger(__name__).warning(f"nobody found in {len(empty)} of {len(found)} photos, as {empty[0]}")
        listing.unlink(missing_ok=True)
        if problems:
            write_file(listing, "".join(problems).encode())
            raise ValueError(f"{len(problems)} of {len(found)} photos could not be read; {listing} says why")
        return len(found)
    if out.suffix.lower() not in (".json", ".txt"):
        raise ValueError(f"{out}: key points of a photo are written as .json or .txt")
    people, size = _people(estimator, photos)
    if not len(people):
        raise ValueError(f"{photos}: nobody found; try another photo, --detector or a lower --min-confidence")
    text = as_json(people, size) if out.suffix.lower() == ".json" else as_text(people[0], size)
    write_file(out, text.encode())
    return 1


def _people(estimator: Estimator, photo: Path) -> tuple[Tensor, tuple[int, int]]:
    """The people in a photo of whom at least one joint was found, p 18 3, and the photo's width and height."""
    image = open_picture(photo)
    people = estimator(image)
    return people[(people[..., 2] > 0).any(1)], image.size
