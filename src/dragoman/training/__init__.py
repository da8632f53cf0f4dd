"""Training: samples, batches, views, the loop, checkpoints."""

from dragoman.training.config import TrainConfig, objective_config
from dragoman.training.loop import TrainReport, train

__all__ = ["TrainConfig", "TrainReport", "objective_config", "train"]
