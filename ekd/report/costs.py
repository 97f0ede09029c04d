"""Cells that show what a network costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ekd.cost import Latency, latency, network_cost
from ekd.data import describe
from ekd.models import CompNet
from ekd.models.resnet import WIDTH
from ekd.report.model import Computed, Timed
from ekd.spec import Data, Model, SpecError
from ekd.spec.grid import Cell

MILLION = 1e6

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Network:
    """What a cost is for: a network, and the side of its images in pixels."""

    arch: str
    branches: int
    classes: int
    side: int
    width: int = WIDTH

    def __str__(self) -> str:
        """Name it for a reader."""
        name = f"{self.arch} x {self.branches}" if self.branches > 1 else self.arch
        name += "" if self.width == WIDTH else f", {self.width} channels"
        return f"{name}, {self.classes} classes, 3 x {self.side} x {self.side}"


def network_of(cell: Cell, label: str, data_root: Path) -> Network:
    """Read what a cell's cost is for: its student, on what the exhibit says or on its own data.

    Raises SpecError where the cell's fields give no network, EnvironmentProblem where the classes
    of custom data cannot be counted.
    """
    student = _checked(Model, cell, "student", label)
    classes, side = cell.cost_classes, cell.cost_resolution
    if classes is None or side is None:
        data = _data(cell, label)
        classes = classes or describe(data, data_root).classes
        side = side or data.resolution
    return Network(student.arch, student.branches, classes, side, student.width)


def cost_cell(cell: Cell, network: Network, comparable: bool) -> Computed | Timed:
    """Compute, or for a latency measure, what a network costs."""
    basis = str(network)
    if cell.cost == "latency":
        found = _latency(network)
        return Timed(found.median_ms, found.iqr_ms, found.threads, basis, cell.paper)
    cost = network_cost(
        network.arch, network.branches, network.classes, network.side, network.width
    )
    counts = {"params": cost.parameters, "flops": cost.flops_paper, "macs": cost.macs}
    conventions = {
        "params": "parameters",
        "flops": "MACs plus 2 per BatchNorm output, 1 per ReLU output and 1 per pooled input",
        "macs": "multiply-accumulates of convolutions and linear layers",
    }
    kind = str(cell.cost)
    basis = f"{basis}; {conventions[kind]}"
    return Computed(counts[kind] / MILLION, basis, cell.paper, comparable)


@cache
def _latency(network: Network) -> Latency:
    net = CompNet(network.arch, network.branches, network.classes, width=network.width)
    return latency(net, network.side)


def _data(cell: Cell, label: str) -> Data:
    if not {"name", "path"} & cell.values.get("data", {}).keys():
        raise SpecError(
            f"{label}: a cost is for the data's classes and resolution: set data.name or data.path "
            "there, or the table's cost_classes and cost_resolution"
        )
    return _checked(Data, cell, "data", label)


def _checked(model: type[M], cell: Cell, section: str, label: str) -> M:
    values: dict[str, Any] = cell.values.get(section, {})
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        error = problem.errors()[0]
        field = ".".join([section, *(str(part) for part in error["loc"])])
        text = error["msg"].removeprefix("Value error, ")
        raise SpecError(f"{label}: {field}: {text}") from None
