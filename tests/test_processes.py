"""Several processes train the same model that one process trains."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent


def launch(out, number, pairs, accumulate=1):
    """Run tests/together.py in so many processes. -> the weights at which each of them arrived"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "torch.distributed.run", f"--nproc_per_node={number}", f"--master_port={port}"]
    program = [HERE / "together.py", out / f"{number}.safetensors", *map(str, (number, pairs, accumulate))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run([sys.executable, *words, *program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [load_file(out / f"{number}-{process}.safetensors") for process in range(number)]


@pytest.mark.slow
@pytest.mark.parametrize("pairs, accumulate", [(4, 1), (8, 2)])
def test_two_processes_equal_one(tmp_path, pairs, accumulate):
    """2 x 4 images against 1 x 8, and 2 x 2 parts of 4 against 1 x 16: maps, groups, R1, averages, within rounding."""
    (one,), (first, second) = launch(tmp_path, 1, pairs), launch(tmp_path, 2, pairs, accumulate)
    assert [key for key in first if not torch.equal(first[key], second[key])] == [], "the processes agree exactly"
    torch.testing.assert_close(first, one, rtol=1e-3, atol=1e-4)
