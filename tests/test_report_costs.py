"""What costs are for: the paper's convention, or the classes and resolution of one's own data."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from filled_store import finish, measured, requested, sections

from ekd.plan import sheets
from ekd.report import Computed
from ekd.report.costs import cost_cell, network_of
from ekd.spec import SpecError
from ekd.store import Request

OWN_DATA_SPEC = """
title = "Own data"
kind = "table"
run.data = { path = "tiny.npz", resolution = 8 }
[[rows]]
label = "ResNet8"
[[columns]]
label = "accuracy"
[[columns]]
label = "params (M)"
cost = "params"
[[columns]]
label = "MACs (M)"
cost = "macs"
[paper]
ResNet8 = [87.51, 0.08, 0.78]
"""


def test_costs_are_computed_and_compared_with_the_printed_decimals(tmp_path: Path) -> None:
    requested(tmp_path, "table1")
    cells = sections(tmp_path, "table1")[0].cells
    flops, macs = cells[2, 3], cells[2, 4]
    assert isinstance(flops, Computed)
    assert isinstance(macs, Computed)
    assert (f"{flops.value:.2f}", flops.paper, flops.agrees) == ("38.25", 38.25, True)
    assert macs.agrees is None
    assert "3 x 16 x 16" in macs.basis


@pytest.mark.parametrize(("name", "count"), [("table1", 14), ("table2", 18)])
def test_every_printed_cost_comes_out_to_its_last_decimal(name: str, count: int) -> None:
    nowhere = Path("no-such-data-root")
    (sheet,) = sheets(Request(exhibits=(name,), scale="paper", seeds=(0,)), nowhere)
    cells = [c for c in sheet.grid.cells.values() if c.cost in ("params", "flops")]
    costs = [cost_cell(cell, network_of(cell, "", nowhere), comparable=True) for cell in cells]
    assert len(costs) == count
    assert all(isinstance(cost, Computed) and cost.agrees for cost in costs)


def test_a_cost_without_a_convention_is_for_the_datas_own_classes_and_resolution(
    tmp_path: Path,
) -> None:
    tiny.write_npz(tmp_path / "tiny.npz")  # three classes
    spec = tmp_path / "own.toml"
    spec.write_text(OWN_DATA_SPEC, encoding="utf-8")
    requested(tmp_path, str(spec), scale="paper")
    requested(tmp_path, str(spec), scale="smoke")  # digits in their place
    paper, smoke = sections(tmp_path, str(spec))
    parameters, macs = paper.cells[0, 1], paper.cells[0, 2]
    assert isinstance(parameters, Computed)
    assert isinstance(macs, Computed)
    assert "3 classes, 3 x 8 x 8" in parameters.basis
    assert parameters.value == pytest.approx((78042 - 7 * 65) / 1e6)  # ResNet8, 7 outputs fewer
    assert macs.value == pytest.approx((12_500_992 / 16 + 64 * 3) / 1e6)  # a quarter of each side
    assert (parameters.agrees, macs.agrees) == (True, True)
    replaced = smoke.cells[0, 1]
    assert isinstance(replaced, Computed)
    assert (replaced.paper, replaced.agrees) == (0.08, None)
    assert "10 classes, 3 x 16 x 16" in replaced.basis


def test_a_cost_without_a_convention_needs_data(tmp_path: Path) -> None:
    spec = tmp_path / "own.toml"
    text = OWN_DATA_SPEC.replace('run.data = { path = "tiny.npz", resolution = 8 }\n', "")
    column = 'label = "accuracy"\n'
    text = text.replace(column, column + 'set = { data.name = "digits" }\n')
    spec.write_text(text, encoding="utf-8")
    requested(tmp_path, str(spec), scale="paper")
    with pytest.raises(SpecError, match=r"own: ResNet8 \| params \(M\): .*cost_resolution"):
        sections(tmp_path, str(spec))
    spec.write_text(text.replace('kind = "table"', 'kind = "table"\ncost_classes = 3\n'
                                 "cost_resolution = 8"), encoding="utf-8")  # fmt: skip
    cell = sections(tmp_path, str(spec))[0].cells[0, 2]
    assert isinstance(cell, Computed)
    assert cell.agrees is True


def test_a_spec_whose_own_data_are_gone_is_reported_where_others_replace_them(
    tmp_path: Path,
) -> None:
    spec = tmp_path / "own.toml"
    spec.write_text(OWN_DATA_SPEC, encoding="utf-8")  # no tiny.npz
    sheet = requested(tmp_path, str(spec), scale="smoke")
    finish(tmp_path, sheet.runs[0, 0][0], 91.0)
    section = sections(tmp_path, str(spec))[0]
    cell, parameters = measured(section, 0, 0), section.cells[0, 1]
    assert (cell.mean, cell.paper, cell.difference) == (91.0, 87.51, None)
    assert isinstance(parameters, Computed)
    assert parameters.agrees is None
