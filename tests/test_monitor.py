"""The training monitor: it stops and resumes, one trains at a time, and a resumed run is an undisturbed one."""

import os
import time

import nbformat
import pytest
import torch
from accelerate import Accelerator
from test_training import MODEL, Pixels, config, same
from test_widgets import lab, run_in_browser  # noqa: F401

from nted_lite.data.people import people_source
from nted_lite.training import Trainer
from nted_lite.widgets import TrainingMonitor

PEOPLE = people_source(32)


def trainer(steps, **changes):
    return Trainer(MODEL, config(steps=steps, **changes), PEOPLE, Pixels(), Accelerator(cpu=True))


@pytest.fixture
def watch():
    """watch(trainer, ...): a monitor that is stopped when the test ends"""
    yield lambda *given, **options: TrainingMonitor(*given[:1], PEOPLE, *given[1:], every=0.0, **options)
    if TrainingMonitor.current:
        TrainingMonitor.current.stop()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def test_it_trains_draws_and_finishes(watch):
    monitor = watch(trainer(3))
    monitor.thread.join(60)
    assert monitor.state.value == "finished, step 3 of 3"
    assert bytes(monitor.image.value).startswith(b"\x89PNG")
    assert monitor.stop_button.disabled and monitor.resume_button.disabled
    assert monitor.history["step"] == [1, 2, 3] and monitor.history["adversarial"][0] is None
    assert {len(values) for values in monitor.history.values()} == {3}


def test_stopped_and_resumed_it_ends_like_an_undisturbed_run(watch, tmp_path):
    undisturbed = trainer(6)
    for _ in range(6):
        undisturbed.train_step()
    monitor = watch(trainer(6), tmp_path)
    wait_for(lambda: monitor.trainer.step >= 1)
    monitor.stop_button.click()
    step = monitor.trainer.step
    time.sleep(0.3)
    assert monitor.trainer.step == step and monitor.state.value.startswith("stopped")
    again = watch(trainer(6), tmp_path)  # as if the kernel had been started again
    assert again.trainer.step >= step
    again.thread.join(60)
    assert same(again.trainer.generator, undisturbed.generator)
    assert same(again.trainer.average.module, undisturbed.average.module)


def test_another_run_is_not_overwritten(watch, tmp_path):
    trainer(6).save(tmp_path)
    other = trainer(6)
    other.train_step()
    with pytest.raises(ValueError, match="already contains a run"):
        watch(other, tmp_path)


def test_the_resume_button_goes_on(watch):
    monitor = watch(trainer(10_000))
    wait_for(lambda: monitor.trainer.step >= 1)
    monitor.stop_button.click()
    step = monitor.trainer.step
    monitor.resume_button.click()
    wait_for(lambda: monitor.trainer.step > step)
    first = monitor.thread
    monitor.resume()
    assert monitor.thread is first, "it is training already"


def test_a_new_monitor_stops_the_one_before(watch):
    first = watch(trainer(10_000))
    second = watch(trainer(10_000))
    assert not first.thread.is_alive() and second.thread.is_alive()


def test_what_goes_wrong_in_the_background_is_shown(watch):
    broken = trainer(5)
    with torch.no_grad():
        broken.generator.renderer.stages[0].to_rgb.bias.fill_(float("nan"))
    monitor = watch(broken)
    monitor.thread.join(60)
    assert "NotFinite: step 0: the loss of the generator is nan" in monitor.state.value


CELLS = """
import torch
from accelerate import Accelerator
from nted_lite.config import LossWeights, ModelConfig, TrainConfig
from nted_lite.data.people import people_source
from nted_lite.features import people_parser
from nted_lite.training import Trainer
from nted_lite.widgets import TrainingMonitor
MODEL = ModelConfig(channels=(8, 8), textures=(4, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))
people, config = people_source(32), TrainConfig(steps=100_000, pairs=1, lr=8e-3)
---
TrainingMonitor(Trainer(MODEL, config, people, people_parser(), Accelerator(cpu=True)), people)
"""


@pytest.mark.browser
def test_the_monitor_in_jupyterlab(run_in_browser, tmp_path):  # noqa: F811
    """It draws by itself, stands still after Stop, and its picture changes again after Resume."""
    source = [nbformat.v4.new_code_cell(part.strip()) for part in CELLS.split("---")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    page, expect = run_in_browser(nbformat.v4.new_notebook(cells=source, metadata=kernel))
    image, stop, resume = (page.locator(where) for where in (
        ".jp-OutputArea img.widget-image", "button:has-text('Stop')", "button:has-text('Resume')",
    ))  # fmt: skip
    image.wait_for()
    before = image.get_attribute("src")
    expect(image).not_to_have_attribute("src", before)
    stop.click()
    expect(page.get_by_text("stopped, step")).to_be_visible()
    page.wait_for_timeout(1000)
    still = image.get_attribute("src")
    page.wait_for_timeout(3000)
    assert image.get_attribute("src") == still
    resume.click()
    expect(image).not_to_have_attribute("src", still)
    expect(page.get_by_text("training, step")).to_be_visible()
    page.screenshot(path=os.environ.get("NTED_SCREENSHOT", tmp_path / "monitor.png"))
