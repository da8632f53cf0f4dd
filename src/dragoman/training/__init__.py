"""Training: samples, steps, views, the loop, checkpoints."""

from dragoman.training.config import TrainConfig, objective_config
from dragoman.training.extension import extended_config
from dragoman.training.loop import TrainReport, train

__all__ = ["TrainConfig", "TrainReport", "extended_config", "objective_config", "train"]
