"""Cells that show what a network costs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ekd.cost import Latency, latency, network_cost
from ekd.data import describe
from ekd.models import CompNet
from ekd.report.model import Computed, Timed
from ekd.spec import Data, Model, SpecError
from ekd.spec.grid import Cell

PAPER_RESOLUTION = 32
"""Side of the images that the paper's FLOPs column implies for all its data sets."""
MILLION = 1e6

M = TypeVar("M", bound=BaseModel)


def cost_cell(cell: Cell, label: str, comparable: bool, data_root: Path) -> Computed | Timed:
    """Compute, or for a latency measure, what the cell's student costs.

    Raises SpecError where the cell's fields give no network.
    """
    student = student_of(cell, label)
    has_data = {"name", "path"} & cell.values.get("data", {}).keys()
    data = _checked(Data, cell, "data", label) if has_data else None
    classes = cell.cost_classes or _classes(data, label, data_root)
    side = data.resolution if data and cell.cost in ("macs", "latency") else PAPER_RESOLUTION
    basis = f"{_named(student)}, {classes} classes, 3 x {side} x {side}"
    if cell.cost == "latency":
        found = _latency(student.arch, student.branches, classes, side)
        return Timed(found.median_ms, found.iqr_ms, found.threads, basis, cell.paper)
    cost = network_cost(student.arch, student.branches, classes, side)
    counts = {"params": cost.parameters, "flops": cost.flops_paper, "macs": cost.macs}
    conventions = {
        "params": "parameters",
        "flops": "MACs plus 2 per BatchNorm output, 1 per ReLU output and 1 per pooled input",
        "macs": "multiply-accumulates of convolutions and linear layers",
    }
    kind = str(cell.cost)
    basis = f"{basis}; {conventions[kind]}"
    return Computed(counts[kind] / MILLION, basis, cell.paper, comparable)


def student_of(cell: Cell, label: str) -> Model:
    """Read the network that a cell is about; SpecError where its fields are wrong."""
    return _checked(Model, cell, "student", label)


@cache
def _latency(arch: str, branches: int, classes: int, resolution: int) -> Latency:
    return latency(CompNet(arch, branches, classes), resolution)


def _classes(data: Data | None, label: str, data_root: Path) -> int:
    if data is None:
        raise SpecError(f"{label}: the number of classes is the data's: set data.name or data.path")
    return describe(data, data_root).classes


def _checked(model: type[M], cell: Cell, section: str, label: str) -> M:
    values: dict[str, Any] = cell.values.get(section, {})
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        error = problem.errors()[0]
        field = ".".join([section, *(str(part) for part in error["loc"])])
        text = error["msg"].removeprefix("Value error, ")
        raise SpecError(f"{label}: {field}: {text}") from None


def _named(student: Model) -> str:
    return f"{student.arch} x {student.branches}" if student.branches > 1 else student.arch
