"""The plan: exhibits flattened to unique runs, teachers first, with state and estimate."""

from ekd.plan.derive import completed, derive
from ekd.plan.estimate import hours, operations, training_macs, whole_operations
from ekd.plan.plan import (
    Planned,
    Progress,
    describe,
    flatten,
    generation,
    lineage,
    progress,
    without_sharing,
)
from ekd.plan.sheet import Place, Sheet, row_of_one, sheets
from ekd.plan.why import Difference, Nearest, Resolved, differences, nearest_run, stored_runs

__all__ = [
    "Difference",
    "Nearest",
    "Place",
    "Planned",
    "Progress",
    "Resolved",
    "Sheet",
    "completed",
    "derive",
    "describe",
    "differences",
    "flatten",
    "generation",
    "hours",
    "lineage",
    "nearest_run",
    "operations",
    "progress",
    "row_of_one",
    "sheets",
    "stored_runs",
    "training_macs",
    "whole_operations",
    "without_sharing",
]
