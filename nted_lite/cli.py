"""Train, run and measure NTED models. `nted-lite COMMAND --help` explains the options of a command."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes

from nted_lite import checkpoint
from nted_lite.config import ModelConfig, TrainConfig, model_config, preset
from nted_lite.data import sources
from nted_lite.model import NTED
from nted_lite.variants import VARIANTS


def main() -> None:
    """Run a command; bad input ends with one clear line."""
    try:
        commands = {
            "animate": animate, "demo": demo, "evaluate": evaluate, "export": export, "keypoints": keypoints,
            "swap": swap, "train": train_command(), "train-parser": train_parser, "transfer": transfer,
        }  # fmt: skip
        tyro.extras.subcommand_cli_from_dict(commands, prog="nted-lite", description=__doc__)
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        sys.exit(f"nted-lite: {error}")
    except KeyboardInterrupt:
        sys.exit("nted-lite: stopped; `nted-lite train --resume` continues a training run from its last checkpoint")


def _peek(option: str) -> str | None:
    """The value of an option on the command line, `--option value` or `--option=value`; None if it is not given."""
    for word, after in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        if word == option:
            return after
        if word.startswith(option + "="):
            return word.partition("=")[2]
    return None


def _load(source: str | Path, chosen: str | None, device: str = "cpu") -> NTED:
    """The model of a checkpoint. Raises ValueError like `load_model`, and for a preset that it has no use for."""
    if chosen and checkpoint.config_of(source, own := model_config(chosen)) is not own:
        raise ValueError(f"--preset: {source} contains its own configuration; omit it")
    return checkpoint.load_model(source, chosen or "fashion-256", device)


def train_command():
    """The command `train`, whose options are generated from ModelConfig and TrainConfig.

    Their defaults depend on other options, so these are looked up first: the defaults come from the preset and, for
    the model, from the checkpoint of --init (unless the preset has more rows); or, on --resume, from the options that
    the run was started with.
    """
    if sys.argv[1:2] == ["train"] and "--resume" in sys.argv and (folder := _peek("--out")):
        known = checkpoint.read_record(Path(folder))
    else:
        name, start = _peek("--preset") or "people-64", _peek("--init")
        chosen = VARIANTS[name] if name in VARIANTS else preset(name)
        model = chosen.model
        if sys.argv[1:2] == ["train"] and start:
            own = checkpoint.config_of(start, model)
            grow = _peek("--preset") and model.height > own.height
            model = model if grow else own
        known = {"preset": name, "model": model, "train": chosen.train}
    known = {"data": None, "init": None, "vgg19": None, "device": "", "mixed_precision": "no", **known}

    def train(
        out: Path,
        preset: str = known["preset"],
        data: Path | None = known["data"],
        model: ModelConfig = known["model"],
        config: Annotated[TrainConfig, OmitArgPrefixes] = known["train"],
        init: str | None = known["init"],
        vgg19: Path | None = known["vgg19"],
        device: str = known["device"],
        mixed_precision: Literal["no", "bf16", "fp16"] = known["mixed_precision"],
        resume: bool = False,
    ) -> None:
        """Train a model, in one process or, when started by torchrun, in many.

        Args:
            out: folder for the checkpoint, TensorBoard scalars and sample grids
            preset: people-64, people-128, people-64-k5, fashion-256, fashion-512, or the name of a variant
            data: folder with prepared DeepFashion; if omitted, synthetic people, rendered on the fly
            model: changes to the preset's model
            config: changes to the preset's training
            init: weights to start from: a folder with config.json, a published .pt file, or a hub id (user/name); if
                that model has fewer rows than the preset, or no appearance flow, what is missing starts at random
            vgg19: file with VGG-19's weights; if omitted, torch hub's cache, downloaded when needed
            device: cpu, cuda, cuda:1, mps; if omitted, the GPU if there is one
            mixed_precision: bf16 or fp16 on GPUs that support it, bf16 on some CPUs
            resume: continue the run in --out, with all the options that it was started with
        """
        from nted_lite import training
        from nted_lite.devices import accelerator
        from nted_lite.discriminator import Discriminator
        from nted_lite.features import feature_network

        record = {
            "preset": preset, "data": data, "init": init, "vgg19": vgg19, "device": device,
            "mixed_precision": mixed_precision, "model": model, "train": config,
        }  # fmt: skip
        changed = checkpoint.differences(known, record) if resume else []
        if resume and preset != known["preset"]:
            raise ValueError(f"{out}: is a run of {known['preset']}, not of {preset}; omit --preset")
        if resume and init != known["init"]:
            raise ValueError(f"{out}: has weights of its own; omit --init")
        if vgg19 and config.features != "vgg19" and not resume:
            raise ValueError(f"--vgg19 is not used with --features {config.features}; omit it")
        machine = accelerator(device, mixed_precision)
        source, preview = sources(data, model.height, config.seed)
        features = feature_network(config.features, vgg19)
        start = judge = None
        if init and not resume:
            start = checkpoint.load_model(init, model if preset in VARIANTS else preset)
            judge = Discriminator.from_official(init, model) if Path(init).is_file() else None
        network = VARIANTS[preset].network if preset in VARIANTS else NTED
        trainer = training.Trainer(model, config, source, features, machine, start, judge, network)
        if resume:
            trainer.load(out)
        training.check_folder(trainer, out)
        if machine.is_main_process:
            if trainer.untouched:
                count = f"{len(trainer.untouched)} of {len(trainer.generator.state_dict())}"
                print(f"{init} does not have all of this model: {count} tensors start at random")
            for line in changed:
                print(f"changed on resuming at step {trainer.step}: {line}")
            checkpoint.write_record(out, record, trainer.step if changed else None)
        training.train(trainer, out, preview)

    return train


def evaluate(
    checkpoint: Path | None = None,
    pictures: Path | None = None,
    everything: Annotated[bool, tyro.conf.arg(name="all"), tyro.conf.FlagCreatePairsOff] = False,
    people: int | None = None,
    split: Literal["test", "validation"] | None = None,
    data: Path | None = None,
    truth: Path | None = None,
    reference_set: Path | None = None,
    height: int | None = None,
    layout: Literal["auto", "padded", "squeezed"] | None = None,
    preset: str | None = None,
    device: str = "cpu",
    out: Path | None = None,
) -> None:
    """Measure a model, or pictures that any model has generated.

    Models are measured on synthetic people with full ground truth, next to simple baselines, or with --data on
    DeepFashion. DeepFashion and pictures in a folder are measured by SSIM, PSNR, LPIPS and FID, and the protocol is
    printed with the numbers.

    Args:
        checkpoint: a folder with config.json and model.safetensors, a published .pt file, or a hub id (user/name)
        pictures: folder of generated pictures, or a file with lines `generated,truth`
        everything: measure every shipped model, and write the table checkpoints/RESULTS.md
        people: number of synthetic people; if omitted, 1024
        split: split of the synthetic people: test (if omitted), or validation, the one for making choices
        data: folder with prepared DeepFashion; its test pairs are generated by --checkpoint, or found in --pictures
        truth: folder with the ground truth, under the same names as in --pictures
        reference_set: folder of pictures for FID; if omitted, the training pictures of --data, else the ground truth
        height: rows at which pictures are compared, a multiple of 16; there are height * 11 / 16 columns; if omitted,
            256
        layout: how pictures, or those of --reference-set, that are not 11:16 came about: padded or squeezed; if
            omitted, it is detected
        preset: the preset that a published checkpoint was trained with; if omitted, fashion-256
        device: cpu, cuda, cuda:1 ...
        out: JSON file for the measures, or with --all, file for the table; if omitted, metrics.json in the folder of
            the model or the pictures, NAME.metrics.json beside a file, unless it holds measures of more pictures
    """
    from nted_lite.evaluation import run

    options = {
        "people": people, "split": split, "data": data, "truth": truth, "reference_set": reference_set,
        "height": height, "layout": layout, "preset": preset,
    }  # fmt: skip
    run.evaluate(checkpoint, pictures, everything, device, out, options)


def transfer(
    checkpoint: Path,
    reference: Path | None = None,
    keypoints: Path | None = None,
    pairs: Path | None = None,
    images: Path | None = None,
    poses: Path | None = None,
    *,
    out: Path,
    preset: str | None = None,
    frame: str = "auto",
    posed: Path | None = None,
    name: str | None = None,
    person: int | None = None,
    min_confidence: float = 0.0,
    sheet: bool = False,
    batch: int = 8,
    device: str = "cpu",
) -> None:
    """Re-pose people in your own photos: one photo and one pose, or a list of pairs.

    Args:
        checkpoint: a folder with config.json and model.safetensors, a published .pt file, or a hub id (user/name)
        reference: photo of the person, of any size
        keypoints: file with the pose, in any common format (OpenPose, ControlNet, COCO, MMPose, YOLO, PATN, NumPy, or
            18 lines `x y` as published), with 18, 25 or 17 joints
        pairs: instead of --reference and --keypoints, a file with lines `target,source[,source ...]`
        images: folder with the pictures named in --pairs
        poses: folder with their key points, under the same names, or one file with the poses of all
        out: the picture to write, ending in .png; with --pairs, a folder
        preset: the preset that a published checkpoint was trained with; if omitted, fashion-256
        frame: the image whose pixel coordinates the key points use: 256 (256x256, as published), WIDTHxHEIGHT,
            picture (with --pairs, the target's in --images), or auto: as the file says, or 256 if the numbers fit
        posed: that image itself, if you have it; --frame may then be omitted
        name: the picture whose pose to use, if --keypoints holds those of several pictures
        person: which person, counted from 0, if there are several; if omitted, the one with the largest extent
        min_confidence: joints with a lower confidence count as missing
        sheet: write reference, stick figure and result side by side
        batch: number of pictures that go through the model together
        device: cpu, cuda, cuda:1 ...
    """
    from nted_lite.keypoints import PoseOptions
    from nted_lite.transfer import Job, transfer_file, transfer_pairs

    single, many = (reference, keypoints), (pairs, images, poses)
    if not (all(single) and not any(many) or all(many) and not any(single)):
        raise ValueError("give --reference and --keypoints, or --pairs, --images and --poses")
    if pairs and (posed or name):
        raise ValueError("--posed and --name are for a single pose; --pairs has the names, and takes --frame picture")
    pose = PoseOptions(frame, person, min_confidence)
    if reference:
        job = Job(reference, keypoints, out, pose, posed, name)
        transfer_file(_load(checkpoint, preset, device), job, sheet)
        print(f"written to {out}")
    else:
        model = _load(checkpoint, preset, device)
        count = transfer_pairs(model, pairs, images, poses, out, batch, sheet, pose)
        print(f"{count} pictures written to {out}")


def animate(
    poses: str,
    reference: Path | None = None,
    synthetic: int | None = None,
    *,
    out: Path,
    checkpoint: str | None = None,
    preset: str | None = None,
    fps: float = 25,
    scale: int = 0,
    frame: str = "auto",
    posed: Path | None = None,
    person: int | None = None,
    min_confidence: float = 0.0,
    sheet: bool = False,
    batch: int = 8,
    device: str = "cpu",
) -> None:
    """Move a person through a sequence of poses: a GIF, a WebP, or, where ffmpeg is installed, an MP4.

    Args:
        poses: folder with a file of key points for each frame, or one file with the poses of all frames, in any common
            format; or a sequence of the synthetic body: turn, or walk
        reference: photo of the person, of any size
        synthetic: instead of a photo, the number of a synthetic person of the test split: 0, 1, 2 ...
        out: the film to write, ending in .gif, .webp or .mp4
        checkpoint: a folder with config.json and model.safetensors, a published .pt file, or a hub id (user/name); if
            omitted, the shipped people-64
        preset: the preset that a published checkpoint was trained with; if omitted, fashion-256
        fps: frames per second
        scale: how much pixels are enlarged; 0: up to 256 rows
        frame: the image whose pixel coordinates the key points use, as for transfer
        posed: that image itself, such as a frame of the film that the poses come from
        person: which person, counted from 0, if there are several; if omitted, the one with the largest extent
        min_confidence: joints with a lower confidence count as missing
        sheet: write reference, stick figure and result side by side
        batch: number of frames that are rendered together
        device: cpu, cuda, cuda:1 ...
    """
    from nted_lite import animation
    from nted_lite.keypoints import PoseOptions
    from nted_lite.weights.hub import shipped

    if (reference is None) == (synthetic is None):
        raise ValueError("give --reference, a photo, or --synthetic, the number of a synthetic person")
    if scale < 0:
        raise ValueError(f"scale is {scale}; give 1 or more, or 0 for films of up to 256 rows")
    animation.check_film(out, fps)
    model = _load(checkpoint or shipped("people-64"), preset, device)
    person_shown = synthetic if reference is None else reference
    options = PoseOptions(frame, person, min_confidence)
    count, problems = animation.animate(model, out, poses, person_shown, fps, scale, sheet, batch, options, posed)
    if problems:
        print(f"{len(problems)} of {count + len(problems)} poses are left out; the first: {problems[0]}")
    print(f"{count} frames written to {out}")


def keypoints(
    photos: Path,
    out: Path,
    model: str = "usyd-community/vitpose-base-simple",
    detector: str | None = None,
    min_confidence: float = 0.3,
    device: str = "cpu",
) -> None:
    """Find the key points of people in photos with ViTPose, for transfer and animate; needs the extra `photos`.

    Args:
        photos: a photo, or a folder of photos
        out: for one photo, a file ending in .json, or in .txt for 18 lines `x y` in the published 256x256 frame; for a
            folder, the folder for a .json of each photo. JSON holds every person, in the photo's own pixels, and says
            how large the photo is
        model: ViTPose, a folder or a hub id (user/name)
        detector: a network that finds people, such as PekingU/rtdetr_r50vd_coco_o365, a folder or a hub id; if omitted,
            one person is looked for in the whole picture
        min_confidence: joints with a lower confidence are written as missing
        device: cpu, cuda, cuda:1 ...
    """
    from nted_lite.keypoints.estimate import Estimator, estimate_files

    count = estimate_files(Estimator(model, detector, min_confidence, device), photos, out)
    print(f"key points of {count} photos written to {out}")


def swap(
    checkpoint: Path,
    reference: Path,
    garment: Path,
    *,
    out: Path,
    part: Literal["top", "bottom", "hair", "shoes", "skin"] = "top",
    keypoints: Path | None = None,
    parser: str | None = None,
    refine: bool = False,
    vgg19: Path | None = None,
    preset: str | None = None,
    frame: str = "auto",
    posed: Path | None = None,
    name: str | None = None,
    person: int | None = None,
    min_confidence: float = 0.0,
    sheet: bool = False,
    device: str = "cpu",
) -> None:
    """Dress the person of one photo in a garment of another (appearance control).

    Args:
        checkpoint: a folder with config.json and model.safetensors, a published .pt file, or a hub id (user/name)
        reference: photo of the person, of any size
        garment: photo of the person whose garment to take
        out: the picture to write, ending in .png
        part: the garment
        keypoints: file with the pose, in any format that `transfer` reads; if omitted, the person keeps the pose of
            the photo, whose key points are the file of the same name beside it, in the photo's pixels
        parser: clothes parser for photographs: a segmentation model of transformers, as a folder or a hub id
            (user/name); if omitted, the parser of the synthetic people
        refine: improve the choice of textures by gradient descent
        vgg19: file with VGG-19's weights, for --refine with --parser; if omitted, torch hub's cache
        preset: the preset that a published checkpoint was trained with; if omitted, fashion-256
        frame: the image whose pixel coordinates the key points use, see `transfer`
        posed: that image itself, if you have it
        name: the picture whose pose to use, if --keypoints holds those of several pictures
        person: which person, counted from 0, if the key points are of several
        min_confidence: joints with a lower confidence count as missing
        sheet: write reference, garment photo and result side by side
        device: cpu, cuda, cuda:1 ...
    """
    from nted_lite.clothes import clothes_parser
    from nted_lite.control import Refinement
    from nted_lite.features import feature_network, people_parser
    from nted_lite.keypoints import PoseOptions
    from nted_lite.swap import own_pose, swap_file
    from nted_lite.transfer import Job

    if vgg19 and not (refine and parser):
        raise ValueError("--vgg19 is used only by --refine together with --parser; omit it")
    if not keypoints and (posed or name):
        raise ValueError("--posed and --name are about --keypoints; name that file, too")
    options = PoseOptions(frame, person, min_confidence)
    job = Job(reference, keypoints, out, options, posed, name) if keypoints else own_pose(reference, out, options)
    model = _load(checkpoint, preset, device)
    if not parser and model.config.height > 128:
        raise ValueError("this model is one of photographs: name a clothes parser with --parser")
    finder = (clothes_parser(parser, part) if parser else people_parser()).to(device)
    features = feature_network("vgg19", vgg19).to(device) if refine and parser else None
    swap_file(model, finder, job, garment, part, Refinement() if refine else None, features, sheet)
    print(f"written to {out}")


def demo(out: Path = Path("build/demo"), people: int = 128) -> None:
    """Re-pose and re-dress people whom the shipped model has never seen, and print its measures.

    Args:
        out: folder for the pictures
        people: number of people that the measures are averaged over
    """
    from nted_lite.demo import run

    run(out, people)


def export(checkpoint: Path, *, out: Path, preset: str | None = None) -> None:
    """Write a model as two ONNX graphs, extract and render, to run it without PyTorch: in a browser, on a phone.

    Args:
        checkpoint: a folder with config.json and model.safetensors, a published .pt file, or a hub id (user/name)
        out: folder for extract.onnx, render.onnx and model.json, which lists name and shape of every input and output
        preset: the preset that a published checkpoint was trained with; if omitted, fashion-256
    """
    from nted_lite import export as onnx

    onnx.export(_load(checkpoint, preset), out)
    print(f"{out}: extract.onnx, render.onnx, {onnx.DESCRIPTION}")


def train_parser(out: Path, steps: int = 4000) -> None:
    """Train the people parser, the network behind the perceptual loss on synthetic people.

    If it was interrupted, the same command continues.

    Args:
        out: folder for its weights and metrics.json
        steps: optimiser steps, each on 8 to 16 people
    """
    from nted_lite import checkpoint, parser_training
    from nted_lite.weights import hub

    if (out / hub.CONFIG).exists():
        raise ValueError(f"{out}: holds a model, which would be overwritten; choose another folder")
    parser = parser_training.train_parser(out, steps)
    checkpoint.write(out / hub.WEIGHTS, parser.state_dict())
    quality = {str(height): parser_training.parser_quality(parser, height) for height in (64, 128)}
    (out / "metrics.json").write_text(json.dumps({"steps": steps, **quality}, indent=2) + "\n")
