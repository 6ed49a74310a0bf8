"""Twenty steps of a small training by one process or several: `torchrun --nproc_per_node 2 together.py OUT 2 4 1`

OUT is the file for the weights; the number of the process is added to its name. Two processes share the 4 pairs of a
step, and each uses its own in a single portion.
"""

import sys
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed
from crash import Pixels
from safetensors.torch import save_file

from nted_lite.config import LossWeights, ModelConfig, TrainConfig
from nted_lite.data.people import people_source
from nted_lite.training import Trainer

MODEL = ModelConfig(channels=(12, 8), textures=(4, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))
CONFIG = TrainConfig(
    draw_ahead=2, lr=1e-3, adversarial_start=0, r1_every=4, weights=LossWeights(adversarial=1.0, face=1.0)
)


def main(out: Path, wanted: int, pairs: int, accumulate: int) -> None:
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == wanted, f"{accelerator.num_processes} processes"
    set_seed(accelerator.process_index)  # whatever the processes start with, they must end with the same weights
    config = replace(CONFIG, pairs=pairs, accumulate=accumulate)
    trainer = Trainer(MODEL, config, people_source(32), Pixels(), accelerator)
    for _ in range(20):
        trainer.train_step()
    weights = {f"{name}.{key}": value.contiguous() for name, model in trainer.models.items()
               for key, value in model.state_dict().items()}  # fmt: skip
    save_file(weights, out.with_stem(f"{out.stem}-{accelerator.process_index}"))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
