"""Specs: what a run is, and the exhibits, scales and overrides that name runs."""

from ekd.spec.errors import EkdError, EnvironmentProblem, SpecError, nearest
from ekd.spec.values import (
    KNOWN,
    NUMERICS,
    Architecture,
    Data,
    Frozen,
    Known,
    MethodFields,
    Model,
    Parent,
    Recipe,
    Run,
    depth_of,
)

__all__ = [
    "KNOWN",
    "NUMERICS",
    "Architecture",
    "Data",
    "EkdError",
    "EnvironmentProblem",
    "Frozen",
    "Known",
    "MethodFields",
    "Model",
    "Parent",
    "Recipe",
    "Run",
    "SpecError",
    "depth_of",
    "nearest",
]
