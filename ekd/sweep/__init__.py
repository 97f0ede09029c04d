"""Sweeps: Optuna proposes points, each of which is one ordinary run of the store."""

from ekd.sweep.point import student_cost, trial_run
from ekd.sweep.spec import Dimension, First, Sweep, load_sweep, sweep_names
from ekd.sweep.study import about, read_study

__all__ = [
    "Dimension",
    "First",
    "Sweep",
    "about",
    "load_sweep",
    "read_study",
    "student_cost",
    "sweep_names",
    "trial_run",
]
