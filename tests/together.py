"""Twenty steps of a small training by one process or several: `torchrun --nproc_per_node 2 together.py OUT 2`

OUT is the file for the weights; the number of the process is added to its name. Several processes share the eight
images of a step.
"""

import sys
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed
from crash import Pixels
from safetensors.torch import save_file

from nted_lite.config import LossWeights, ModelConfig, TrainConfig
from nted_lite.data import people_source
from nted_lite.step import Trainer

MODEL = ModelConfig(channels=(12, 8), textures=(4, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))
CONFIG = TrainConfig(
    pairs=4, draw_ahead=2, lr=1e-3, adversarial_start=0, r1_every=4, weights=LossWeights(adversarial=1.0, face=1.0)
)


def main(out: Path, wanted: int) -> None:
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == wanted, f"{accelerator.num_processes} processes"
    set_seed(accelerator.process_index)  # whatever the processes start with, they must end with the same weights
    trainer = Trainer(MODEL, CONFIG, people_source(32), Pixels(), accelerator)
    for _ in range(20):
        trainer.train_step()
    weights = {f"{name}.{key}": value.contiguous() for name, model in trainer.models.items()
               for key, value in model.state_dict().items()}  # fmt: skip
    save_file(weights, out.with_stem(f"{out.stem}-{accelerator.process_index}"))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
