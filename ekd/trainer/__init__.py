"""Training: one loop, its state, evaluation, and what a finished run keeps."""

from ekd.trainer.build import build, coupled, starting_nets
from ekd.trainer.evaluate import Predictions, Scores, evaluate, infer, score
from ekd.trainer.finish import finish
from ekd.trainer.loop import Task, begin, evaluation_epochs, train
from ekd.trainer.optimizer import learning_rate
from ekd.trainer.speed import measured_speed
from ekd.trainer.state import Diverged, Saver, State

__all__ = [
    "Diverged",
    "Predictions",
    "Saver",
    "Scores",
    "State",
    "Task",
    "begin",
    "build",
    "coupled",
    "evaluate",
    "evaluation_epochs",
    "finish",
    "infer",
    "learning_rate",
    "measured_speed",
    "score",
    "starting_nets",
    "train",
]
