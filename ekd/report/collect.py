"""From a store and its requests to filled-in sections."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ekd.plan import Place, Progress, Sheet, flatten, progress, row_of_one, sheets
from ekd.report.costs import Network, cost_cell, network_of
from ekd.report.efforts import epoch_cell, training_cell
from ekd.report.measured import Measured, SeedRun
from ekd.report.model import Computed, Content, EpochTime, Quoted, Report, Section
from ekd.report.requested import Wanted, root_option, wanted
from ekd.spec import EnvironmentProblem, Run, SpecError
from ekd.spec.exhibit import Curves
from ekd.spec.grid import Cell
from ekd.spec.load import exhibit_names, exhibit_path, load_exhibit, scales
from ekd.store import Request, Store

Labels = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Reference:
    """What the paper has in a cell: the exhibit at scale paper, with nothing changed."""

    subject: tuple[Any, ...] | Network
    """What the paper's number is for: ours can be compared where it is for the same."""
    paper: float | None


def collect(store: Store, names: Sequence[str], scale: str | None, data_root: Path) -> list[Report]:
    """Fill in the sections of the named exhibits, or of all that were requested.

    Raises SpecError for what was never requested, EnvironmentProblem for a damaged store.
    """
    known = (store.root / "store.json").exists()
    requests = store.open().requests() if known else []
    found = wanted(requests, names, scale, store.root)
    return [_report(name, sections, store, data_root) for name, sections in found.items()]


def _report(name: str, asked: list[Wanted], store: Store, data_root: Path) -> Report:
    references = _references(name, data_root)
    sections = tuple(_section(one, references, store, data_root) for one in asked)
    exhibit = sections[0].sheet.grid.exhibit
    return Report(Path(name).stem, exhibit.title, exhibit.assumptions, sections)


def _section(
    asked: Wanted, references: dict[Labels, Reference], store: Store, data_root: Path
) -> Section:
    request = Request(
        exhibits=(asked.exhibit,), scale=asked.scale, overrides=asked.overrides, seeds=asked.seeds
    )
    sheet = sheets(request, data_root)[0]
    states = progress(flatten([sheet]), store)
    judged = asked.scale == "paper" and not asked.overrides
    cells: dict[Place, Content] = {}
    for place, cell in sheet.grid.cells.items():
        reference = references.get(_labels(sheet, place))
        if cell.quoted:
            cells[place] = Quoted(cell.quote)
        elif place in sheet.costed:
            cells[place] = _effort(sheet, place, store, data_root)
        elif cell.cost is not None:
            network = network_of(cell, sheet.label(place), data_root)
            same = reference is not None and reference.subject == network
            cells[place] = cost_cell(cell, network, same)
        else:
            seeds = tuple(_seed_run(run, states[run.key], store) for run in sheet.runs[place])
            cells[place] = _measured(seeds, cell, reference, judged)
    description = scales()[asked.scale].description
    return Section(sheet, description, asked.overrides, _command(asked, store, data_root), cells)


def _effort(sheet: Sheet, place: Place, store: Store, data_root: Path) -> Computed | EpochTime:
    runs = sheet.costed[place]
    if sheet.grid.cells[place].cost == "epoch":
        return epoch_cell(runs, store)
    (one, *_) = sheet.costed[row_of_one(sheet.grid), place[1]]
    return training_cell(runs[0], one, data_root)


def _measured(
    seeds: tuple[SeedRun, ...], cell: Cell, reference: Reference | None, judged: bool
) -> Measured:
    paper = cell.paper if cell.paper is not None or reference is None else reference.paper
    comparable = reference is not None and reference.subject == _subject(seeds[0].run)
    return Measured(seeds, paper, comparable, judged)


def _subject(run: Run) -> tuple[Any, ...]:
    """Give the student, and what decides which images it is trained and scored on."""
    data = run.data
    content = data.name, data.fingerprint, data.resolution, data.holdout, data.fraction
    return run.student, *content


def _seed_run(run: Run, status: Progress, store: Store) -> SeedRun:
    folder = store.folder(run)
    done, stopped = status == "done", status in ("failed", "diverged")
    return SeedRun(
        run=run,
        status=status,
        result=folder.result() if done else None,
        failure=folder.failure()["message"] if stopped else "",
        sessions=tuple(folder.provenance()),
    )


def _references(name: str, data_root: Path) -> dict[Labels, Reference]:
    """Lay the exhibit out as the paper has it, by the labels of row and column.

    A spec that is whole only with an override, or at another scale, has no references.
    """
    try:
        sheet = sheets(Request(exhibits=(name,), scale="paper", seeds=(0,)), data_root)[0]
        printed = _printed(data_root) if isinstance(sheet.grid.exhibit, Curves) else {}
        return {
            _labels(sheet, place): _reference(sheet, place, printed, data_root)
            for place, cell in sheet.grid.cells.items()
            if not cell.quoted and place not in sheet.costed
        }
    except (SpecError, EnvironmentProblem):
        return {}


def _reference(sheet: Sheet, place: Place, printed: dict[str, float], data_root: Path) -> Reference:
    cell = sheet.grid.cells[place]
    if cell.cost is not None:
        return Reference(network_of(cell, sheet.label(place), data_root), cell.paper)
    run = sheet.runs[place][0]
    paper = printed.get(run.key) if cell.paper is None else cell.paper
    return Reference(_subject(run), paper)


def _printed(data_root: Path) -> dict[str, float]:
    """Give what the paper's tables print, by the run of seed 0: a figure finds its points so."""
    found: dict[str, float] = {}
    for name in exhibit_names():
        if getattr(load_exhibit(exhibit_path(name)), "paper", {}):
            sheet = sheets(Request(exhibits=(name,), scale="paper", seeds=(0,)), data_root)[0]
            for place, (run,) in sheet.runs.items():
                paper = sheet.grid.cells[place].paper
                if paper is not None:
                    found[run.key] = paper
    return found


def _labels(sheet: Sheet, place: Place) -> Labels:
    row, column = sheet.grid.rows[place[0]], sheet.grid.columns[place[1]]
    return row.entry.lines, column.entry.lines


def _command(asked: Wanted, store: Store, data_root: Path) -> str:
    seeds = "" if asked.own_seeds else f" --seeds {','.join(map(str, asked.seeds))}"
    overrides = "".join(f" -s {shlex.quote(text)}" for text in asked.overrides)
    data = "" if data_root == Path("data") else f" --data-root {shlex.quote(str(data_root))}"
    return (
        f"ekd-run {shlex.quote(asked.exhibit)} --scale {asked.scale}{overrides}{seeds}"
        f"{root_option(store.root)}{data}"
    )
