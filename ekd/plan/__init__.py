"""The plan: exhibits flattened to unique runs, teachers first, with state and estimate."""

from ekd.plan.derive import derive
from ekd.plan.estimate import hours, training_macs
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
from ekd.plan.sheet import Place, Sheet, sheets

__all__ = [
    "Place",
    "Planned",
    "Progress",
    "Sheet",
    "derive",
    "describe",
    "flatten",
    "generation",
    "hours",
    "lineage",
    "progress",
    "sheets",
    "training_macs",
    "without_sharing",
]
