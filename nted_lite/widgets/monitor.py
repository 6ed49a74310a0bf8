"""Watch a training that runs in the background: curves, samples and maps, with buttons to stop and resume it."""

import threading
import time
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import ipywidgets
import torch

from nted_lite.data.examples import Source, both_directions
from nted_lite.plotting.base import painted, texture_parts
from nted_lite.plotting.training import show_live
from nted_lite.training import STATE, Trainer, check_folder, sample_grid
from nted_lite.widgets.boxes import Column, Row


class TrainingMonitor(Column):
    """A training in a thread of its own; the notebook stays free for other cells.

    trainer  new, or after `load`
    preview  held-out data, whose pairs 0 to 2 are shown in both directions
    out      folder for checkpoints, written on every stop and at the end; a run in it is resumed. None: no checkpoint
    every    seconds between two pictures

    Only one monitor trains at a time: a new one, for example because its cell was run again, first stops the one
    before it after its current step. `history` holds the losses, `trainer.average.module` the model. A thread, and no
    process, so that both can be read at any time, and nothing stays behind when the kernel ends.

    Raises ValueError, like `Trainer.load`, if the run in `out` belongs to another model, and if `trainer` has already
    trained something else.
    """

    current: ClassVar["TrainingMonitor | None"] = None

    def __init__(self, trainer: Trainer, preview: Source, out: Path | None = None, every: float = 2.0):
        if TrainingMonitor.current is not None:
            TrainingMonitor.current.stop()
        self.trainer, self.out, self.every = trainer, out and Path(out), every
        if self.out and trainer.step == 0 and (self.out / STATE).is_file():
            trainer.load(self.out)
        if self.out:
            check_folder(trainer, self.out)
        views = preview(torch.arange(3), trainer.accelerator.device)
        self.shown = both_directions(torch.arange(3), views, trainer.generator.pose_map).of_pairs()
        self.history: dict[str, list] = {"step": []}
        self.stopping, self.thread = threading.Event(), None
        self.stop_button = ipywidgets.Button(description="Stop", icon="pause")
        self.resume_button = ipywidgets.Button(description="Resume", icon="play")
        self.stop_button.on_click(lambda _: self.stop())
        self.resume_button.on_click(lambda _: self.resume())
        self.state = ipywidgets.Label()
        self.image = ipywidgets.Image(format="png", layout={"align_self": "flex-start", "max_width": "100%"})
        super().__init__([Row([self.stop_button, self.resume_button, self.state]), self.image])
        TrainingMonitor.current = self
        self.resume()

    def resume(self) -> None:
        """Train on, in the background; nothing happens if it is training already."""
        if self.thread and self.thread.is_alive() and not self.stopping.is_set():
            return
        self.stop()
        self.stopping.clear()
        self.thread = threading.Thread(target=self._work, daemon=True)  # it ends with the kernel
        self.thread.start()

    def stop(self) -> None:
        """Stop after the current step, write the checkpoint, and wait until that is done."""
        self.stopping.set()
        if self.thread:
            self.thread.join()

    def _work(self) -> None:
        """What the thread does. It alone trains, draws and saves, so nothing is read while it is being written."""
        problem, drawn = "", 0.0
        self._say("training")
        try:
            while not self.stopping.is_set() and self.trainer.step < self.trainer.config.steps:
                self._remember(self.trainer.train_step())
                if time.monotonic() - drawn > self.every:
                    self._draw()
                    self._say("training")
                    drawn = time.monotonic()
            if self.out:
                self.trainer.save(self.out)
            self._draw()
        except Exception as error:  # a notebook shows nothing of what happens in a thread
            problem = f"{type(error).__name__}: {error}"
        finished = self.trainer.step >= self.trainer.config.steps
        self._say(problem or ("finished" if finished else "stopped"))

    def _remember(self, found: dict[str, torch.Tensor]) -> None:
        """Append a step's losses; a loss that begins later is None before."""
        done = len(self.history["step"])
        self.history["step"].append(self.trainer.step)
        for name, value in found.items():
            self.history.setdefault(name, [None] * done).append(value.item())
        for values in self.history.values():
            values += [None] * (done + 1 - len(values))

    @torch.no_grad()
    def _draw(self) -> None:
        """Losses, samples and maps of the averaged model, as one picture."""
        model, shown = self.trainer.average.module, self.shown
        maps = model(shown.reference, shown.pose).distribution[-1]
        colours = painted(maps, texture_parts(maps, shown.target_parts.long()))
        file = BytesIO()
        show_live(self.history, sample_grid(model, shown), colours).savefig(file, format="png")
        self.image.value = file.getvalue()

    def _say(self, state: str) -> None:
        """Show the state, and let only the button be pressed that does something."""
        training = state == "training"
        self.stop_button.disabled, self.resume_button.disabled = not training, training or state == "finished"
        self.state.value = f"{state}, step {self.trainer.step:,} of {self.trainer.config.steps:,}"
