"""Which device and how many processes: what was asked for is used, or refused in one line, and never ignored."""

import os

import torch
from accelerate import Accelerator

from nted_lite.images import reason


def pick(name: str) -> torch.device:
    """A device by its name: "cpu", "cuda", "cuda:1", "mps" ... Raises ValueError, in one line, if it is not there."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} cannot be used ({reason(error)[:120]})") from error
    return device


def accelerator(device: str = "", mixed_precision: str = "no") -> Accelerator:
    """What a training runs on: one process, or all those that a launcher has started.

    device           "" takes the GPU if there is one; see `pick`
    mixed_precision  no, bf16 or fp16

    Raises ValueError, in one line, for a device or a precision that is not there, and for processes that would not
    form one training.
    """
    chosen = pick(device) if device else None
    processes, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    kind = chosen.type if chosen else "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    if "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise ValueError("`accelerate launch --cpu` starts one process where several were wanted: use torchrun")
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched not in ("no", mixed_precision):
        raise ValueError(f"accelerate launch says {launched}, --mixed-precision says {mixed_precision}: say the same")
    if processes > 1 and kind == "mps":
        raise ValueError(f"{processes} processes cannot share one Apple GPU: start one, or give --device cpu")
    if processes > 1 and kind == "cuda":
        if chosen and chosen.index is not None:
            raise ValueError(f"{processes} processes cannot all use {device}: omit --device, and each takes its own")
        if torch.cuda.device_count() < local:
            raise ValueError(f"{local} processes on this machine, but {torch.cuda.device_count()} GPUs: start fewer")
    if mixed_precision == "fp16" and kind != "cuda":
        raise ValueError(f"fp16 needs an NVIDIA or AMD GPU, and this is {kind}: use bf16 or no")
    if mixed_precision == "bf16" and kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError("this GPU has no bf16: use fp16 or no")
    if chosen and chosen.index is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = device
    made = Accelerator(cpu=kind == "cpu", mixed_precision=mixed_precision)
    if made.num_processes != processes:
        started = f"{processes} processes were started, but each would train alone"
        raise ValueError(f"{started}: start them with torchrun --nproc_per_node {local} -m nted_lite train ...")
    return made


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
