"""Choosing the device and the number of processes: a request is honoured or refused in one line, never ignored."""

import os

import torch
from accelerate import Accelerator

from nted_lite.images import reason


def pick(name: str) -> torch.device:
    """The device of that name: "cpu", "cuda", "cuda:1", "mps" ... Raises ValueError, in one line, if it is unusable."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} cannot be used ({reason(error)[:120]})") from error
    return device


def accelerator(device: str = "", mixed_precision: str = "no") -> Accelerator:
    """The Accelerator for training in this process, or in all the processes that a launcher has started.

    device           see `pick`; "" means the GPU if there is one, else the CPU
    mixed_precision  "no", "bf16" or "fp16"

    Raises ValueError, in one line, if the device or the precision is not available, and if the processes would not
    train together.
    """
    chosen = pick(device) if device else None
    processes, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    kind = chosen.type if chosen else "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    if "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise ValueError("`accelerate launch --cpu` starts one process where several were wanted: use torchrun")
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched not in ("no", mixed_precision):
        raise ValueError(f"accelerate launch says {launched}, but --mixed-precision {mixed_precision}: make them agree")
    if processes > 1 and kind == "mps":
        raise ValueError(f"{processes} processes cannot share one Apple GPU: start only one, or use --device cpu")
    if processes > 1 and kind == "cuda":
        if chosen and chosen.index is not None:
            raise ValueError(f"{processes} processes cannot all use {device}: omit --device, and each takes its own")
        if torch.cuda.device_count() < local:
            count = torch.cuda.device_count()
            raise ValueError(f"{local} processes on this machine, but only {count} GPUs: start fewer")
    if mixed_precision == "fp16" and kind != "cuda":
        raise ValueError(f"fp16 needs an NVIDIA or AMD GPU, and this is {kind}: use bf16 or no")
    if mixed_precision == "bf16" and kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError("this GPU does not support bf16: use fp16 or no")
    if chosen and chosen.index is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = device
    machine = Accelerator(cpu=kind == "cpu", mixed_precision=mixed_precision)
    if machine.num_processes != processes:
        started = f"{processes} processes were started, but each would train alone"
        raise ValueError(f"{started}: start them with torchrun --nproc_per_node {local} -m nted_lite train ...")
    return machine


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
