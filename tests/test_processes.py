"""Several processes train the same model as a single process, and resume like one."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def launch(out, number, pairs, accumulate=1):
    """Run tests/together.py in so many processes. -> the weights at which each of them arrived"""
    words = ["-m", "torch.distributed.run", f"--nproc_per_node={number}", f"--master_port={free_port()}"]
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


TINY = [
    "--steps", "12", "--pairs", "2", "--draw-ahead", "2", "--checkpoint-every", "3", "--device", "cpu",
    "--adversarial-start", "2", "--r1-every", "4", "--lr", "0.0005", "--seed", "3",
    "--model.channels", "8", "8", "8", "--model.textures", "4", "4", "0",
    "--model.discriminator-channels", "8", "8", "8", "8", "8",
]  # fmt: skip


def train(out, processes, *options):
    """Start `nted-lite train` in so many processes."""
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", f"--master_port={free_port()}"]
    words = [sys.executable, *(launcher if processes > 1 else []), "-m", "nted_lite", "train", "--out", out, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen(words, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_resumes_with_no_other_option(tmp_path, processes):
    """The same bits as an undisturbed run, although only the first start was told the options."""
    whole = train(tmp_path / "whole", processes, *TINY)
    assert whole.wait(300) == 0, whole.stderr.read()[-3000:]
    killed = train(tmp_path / "killed", processes, *TINY)
    state = tmp_path / "killed" / "state.safetensors"
    while not state.exists() and killed.poll() is None:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    resumed = train(tmp_path / "killed", processes, "--resume")
    assert resumed.wait(300) == 0, resumed.stderr.read()[-3000:]
    wanted, found = load_file(tmp_path / "whole" / "state.safetensors"), load_file(state)
    assert wanted.keys() == found.keys()
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []
