"""Training: samples, batches, views, the step, the loop, the run folder.

In the order of the data: `samples` are read from a corpus, `batches` draws those of a step, `augment` varies
their texts, `views` encodes them (`fused` with the fusion encoder as well), `step` learns from what the
objective says of the views, `loop` repeats that, asks `validation`, and keeps all in the `run_folder`.
`config` has the settings, `model` the beginning, `extension` the languages added to a finished run, and
`processes` what several do together.
"""

from dragoman.training.config import TrainConfig, objective_config
from dragoman.training.extension import extended_config
from dragoman.training.loop import TrainReport, train

__all__ = ["TrainConfig", "TrainReport", "extended_config", "objective_config", "train"]
