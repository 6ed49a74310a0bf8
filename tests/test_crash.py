"""A machine may die at any moment, a disk may be full, a number may overflow: nothing is lost and one line says why."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import crash
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from nted_lite import checkpoint
from nted_lite.data.examples import Blocks
from nted_lite.data.people import people_source
from nted_lite.training import NotFinite, Trainer, train

resource = pytest.importorskip("resource", reason="limits and forks are POSIX's")

HERE = Path(__file__).parent


@pytest.mark.slow
def test_killed_ten_times_equals_undisturbed(tmp_path):
    """SIGKILL at ten moments, some while a checkpoint is written: the final weights are the same, bit for bit."""
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    done = subprocess.run([sys.executable, HERE / "crash.py", killed], capture_output=True, text=True, check=True)
    moments = done.stdout.splitlines()[0].split()[2:]
    assert len(moments) == crash.KILLS and moments.count("writing") >= 3, done.stdout
    assert "ended with 0" in done.stdout, done.stdout
    crash.run(undisturbed)
    for name in ("state.safetensors", "model.safetensors"):
        ours, theirs = load_file(killed / name), load_file(undisturbed / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert checkpoint.read(killed / "state.safetensors")[1]["step"] == crash.CONFIG.steps


# ------------------------------------------------------------------------------------------------------ files and disks


def trainer(**changes):
    config = replace(crash.CONFIG, **changes)
    return Trainer(crash.MODEL, config, people_source(32), crash.Pixels(), Accelerator(cpu=True))


@pytest.fixture
def small_disk():
    """Files of more than 20 kB cannot be written, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, request):
    run = trainer()
    run.train_step()
    run.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run.train_step()
    request.getfixturevalue("small_disk")
    with pytest.raises(OSError, match=r"state.safetensors: could not be written .*the previous one is intact"):
        run.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_disk_that_is_full_for_the_model_alone(tmp_path, request):
    run = trainer()
    checkpoint.save_model(run.average.module, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run.train_step()
    request.getfixturevalue("small_disk")
    with pytest.raises(OSError, match="the model could not be written"):
        checkpoint.save_model(run.average.module, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_training_is_never_overwritten(tmp_path):
    trainer().save(tmp_path)
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(ValueError, match="already contains a run; resume it .--resume., or choose another"):
        train(trainer(), tmp_path, people_source(32))
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_a_run_goes_on_in_its_own_folder_only(tmp_path):
    for name in ("one", "other"):
        trainer().save(tmp_path / name)
    resumed = trainer(steps=1)
    resumed.load(tmp_path / "one")
    with pytest.raises(ValueError, match="other: already contains a run"):
        train(resumed, tmp_path / "other", people_source(32))
    train(resumed, tmp_path / "one", people_source(32))
    assert checkpoint.read(tmp_path / "one" / "state.safetensors")[1]["step"] == 1
    assert checkpoint.read(tmp_path / "other" / "state.safetensors")[1]["step"] == 0


def test_killed_between_the_last_state_and_its_model(tmp_path, monkeypatch):
    """The state says that all is done; resuming must still bring the model up to it."""
    run = trainer(steps=2, checkpoint_every=1)
    saved = []

    def second_one_dies(model, folder):
        saved.append(folder)
        if len(saved) == 2:
            raise KeyboardInterrupt
        save_model(model, folder)

    save_model = checkpoint.save_model
    monkeypatch.setattr(checkpoint, "save_model", second_one_dies)
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path, people_source(32))
    resumed = trainer(steps=2, checkpoint_every=1)
    resumed.load(tmp_path)
    assert resumed.step == 2
    train(resumed, tmp_path, people_source(32))
    model, average = load_file(tmp_path / "model.safetensors"), resumed.average.module.state_dict()
    assert [name for name in average if not torch.equal(model[name], average[name])] == []


def test_notes_beside_a_model_stay(tmp_path):
    (tmp_path / "README.md").write_text("my notes")
    checkpoint.save_model(trainer().generator, tmp_path)
    assert (tmp_path / "README.md").read_text() == "my notes"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="state.safetensors: could not be written"):
        trainer().save(tmp_path / "file")


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_truncated_file_is_named(tmp_path, keep):
    checkpoint.write(tmp_path / "some.safetensors", {"a": torch.randn(1000)}, {"step": 3})
    assert checkpoint.read(tmp_path / "some.safetensors")[1] == {"step": 3}
    content = (tmp_path / "some.safetensors").read_bytes()
    (tmp_path / "some.safetensors").write_bytes(content[:keep])
    with pytest.raises(ValueError, match="some.safetensors: damaged") as stopped:
        checkpoint.read(tmp_path / "some.safetensors")
    assert "\n" not in str(stopped.value)


def test_not_a_number_keeps_the_batch(tmp_path):
    """The run stops at once, names step and loss, and leaves what the step was fed."""

    def poisoned(index, device):
        views = people_source(32)(index, device)
        views.images[0, -1, :, 5, 5] = float("nan") if index[-1] > 10 else 0.0
        return views

    config = replace(crash.CONFIG, draw_ahead=1)
    run = Trainer(crash.MODEL, config, poisoned, crash.Pixels(), Accelerator(cpu=True))
    with pytest.raises(NotFinite, match=r"step 5: the loss of the generator is nan \(.*not-finite-5"):
        train(run, tmp_path, people_source(32))
    (saved,) = tmp_path.glob("not-finite-*.safetensors")
    batch = load_file(saved)
    assert batch["reference"].isnan().any() and batch["pose"].shape == (4, 20, 32, 22)
    assert checkpoint.read(tmp_path / "state.safetensors")[1]["step"] == 4


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    run = trainer()
    run.save(tmp_path)
    before = (tmp_path / "state.safetensors").read_bytes()
    with torch.no_grad():
        next(run.generator.parameters()).fill_(float("inf"))
    with pytest.raises(NotFinite, match=r"step 0: generator\..* is not finite, so this step is not saved"):
        run.save(tmp_path)
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_a_new_learning_rate_counts_when_resuming(tmp_path):
    first = trainer()
    first.train_step()
    first.save(tmp_path)
    second = trainer(lr=1e-4)
    second.load(tmp_path)
    second.train_step()
    assert second.optimisers["generator"].param_groups[0]["lr"] == pytest.approx(1e-4)


# --------------------------------------------------------------------------------------------- the same step, otherwise


@pytest.mark.slow
def test_gradient_accumulation_changes_nothing():
    """Four pairs in two portions are four pairs at once: hidden textures, the discriminator's groups, R1, averages."""
    whole = trainer(pairs=4, adversarial_start=0)
    parts = trainer(pairs=4, accumulate=2, adversarial_start=0)
    for _ in range(5):
        a, b = whole.train_step(), parts.train_step()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for name, model in whole.models.items():
        for x, y in zip(model.parameters(), parts.models[name].parameters()):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("background", [False, True])
def test_blocks_are_drawn_once_and_in_order(background):
    drawn = []

    def draw(first):
        drawn.append(first)
        return f"from {first}"

    blocks = Blocks(draw, 3, background)
    seen = [blocks(step) for step in (4, 5, 6, 7, 8, 9, 3)]
    assert seen == [("from 3", 1), ("from 3", 2), ("from 6", 0), ("from 6", 1), ("from 6", 2), ("from 9", 0),
                    ("from 3", 0)]  # fmt: skip
    if not background:
        assert drawn == [3, 6, 9, 3]


def test_errors_of_the_background_come_out():
    blocks = Blocks(lambda first: 1 / (first - 2), 1, background=True)
    assert blocks(1)[0] == -1
    with pytest.raises(ZeroDivisionError):
        blocks(2)
