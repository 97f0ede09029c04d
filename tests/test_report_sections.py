"""Which sections a report has, its CSV, and what ekd-report says."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from filled_store import finish, own_spec, requested, sections

from ekd.cli.report import command, main
from ekd.report import collect
from ekd.report.spreadsheet import spreadsheet
from ekd.spec import SpecError
from ekd.store import Store


def test_the_most_faithful_section_comes_first_and_seeds_are_united(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    requested(tmp_path, str(spec), scale="smoke", seeds=(4,))
    requested(tmp_path, str(spec), scale="paper", overrides=("recipe.epochs=5",))
    requested(tmp_path, str(spec), scale="paper", seeds=(3, 1), where=("student.branches=2",))
    requested(tmp_path, str(spec), scale="paper")
    requested(tmp_path, str(spec), scale="reduced")
    requested(tmp_path, str(spec), scale="smoke", seeds=(2,))
    found = [(s.scale, s.overrides, s.sheet.seeds) for s in sections(tmp_path, str(spec))]
    assert found == [
        ("paper", (), (0, 1, 3)),
        ("paper", ("recipe.epochs=5",), (0,)),
        ("reduced", (), (0, 1, 2)),
        ("smoke", (), (2, 4)),
    ]
    assert [s.scale for s in sections(tmp_path, str(spec), "reduced")] == ["reduced"]


def test_an_override_of_another_exhibits_field_is_none_here(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    requested(tmp_path, "table1", str(spec), overrides=("method.temperature=4.0",))
    assert sections(tmp_path, str(spec))[0].overrides == ()
    assert sections(tmp_path, "table1")[0].overrides == ("method.temperature=4.0",)


PLAIN_SPEC = """
title = "Plain"
kind = "table"
run.data.name = "digits"
[[rows]]
label = "ours"
[[columns]]
label = "accuracy"
"""


def plain_spec(folder: Path) -> str:
    path = folder / "plain.toml"
    path.write_text(PLAIN_SPEC, encoding="utf-8")
    return str(path)


def test_an_override_counts_where_an_earlier_one_makes_room_for_it(tmp_path: Path) -> None:
    spec = plain_spec(tmp_path)
    overrides = ("teachers=T1", "method.name=ekd", "method.alpha=0.2")
    run = requested(tmp_path, spec, overrides=overrides).runs[0, 0][0]
    (section,) = sections(tmp_path, spec)
    assert section.overrides == overrides
    assert section.sheet.runs[0, 0][0].key == run.key
    assert run.resolved()["method"]["alpha"] == 0.2


def test_overrides_that_come_to_the_same_are_one_section(tmp_path: Path) -> None:
    spec = plain_spec(tmp_path)
    requested(tmp_path, spec, overrides=("recipe.epochs=5", "recipe.lr=0.1"), seeds=(0,))
    requested(tmp_path, spec, overrides=("recipe.lr=0.1", "recipe.epochs=5"), seeds=(1,))
    requested(tmp_path, spec, overrides=("recipe.epochs=5", "recipe.epochs=6"))
    requested(tmp_path, spec, overrides=("recipe.epochs=6", "recipe.epochs=5"))
    found = {s.overrides: s.sheet.runs[0, 0][-1] for s in sections(tmp_path, spec)}
    shown = [(o, run.recipe.epochs, run.seed) for o, run in found.items()]
    assert shown == [
        (("recipe.epochs=5", "recipe.lr=0.1"), 5, 1),
        (("recipe.epochs=5", "recipe.epochs=6"), 6, 0),
        (("recipe.epochs=6", "recipe.epochs=5"), 5, 0),
    ]


def test_the_csv_has_a_line_per_cell(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1", seeds=(0, 1))
    for run, accuracy in zip(sheet.runs[1, 0], (87.5, 87.62), strict=True):
        finish(tmp_path, run, accuracy)
    (report,) = collect(Store(tmp_path), [], None, tmp_path)
    lines = list(csv.DictReader(io.StringIO(spreadsheet(report))))
    assert len(lines) == 3 * 5
    keys = ";".join(run.key for run in sheet.runs[1, 0])
    half = math.tan(math.pi * 0.475) * 0.06
    assert lines[5] == {
        "exhibit": "table1", "scale": "smoke", "overrides": "", "row": "2",
        "column": "digits in place of CIFAR-10 / no EKD", "kind": "measured", "paper": "86.60",
        "mean": "87.56", "n": "2", "low": f"{87.56 - half:.2f}", "high": f"{87.56 + half:.2f}",
        "seeds": "0:87.50;1:87.62", "runs": keys,
    }  # fmt: skip
    assert lines[0]["mean"] == lines[0]["n"] == lines[0]["runs"] == ""
    assert (lines[2]["kind"], lines[2]["mean"], lines[2]["paper"]) == ("computed", "0.08", "0.08")


def test_the_command_to_go_on_is_the_one_that_was_given(tmp_path: Path) -> None:
    requested(tmp_path, "table1", overrides=("recipe.epochs=5",), seeds=(0, 1))
    section = sections(tmp_path, "table1")[0]
    assert section.command.startswith(
        f"ekd-run table1 --scale smoke -s recipe.epochs=5 --seeds 0,1 --root {tmp_path}"
    )


@pytest.mark.parametrize(
    ("name", "scale", "said"),
    [
        ("table1", None, r"never requested .*mine\.toml.*`ekd-run table1 --scale smoke --root"),
        ("tabel1", None, "did you mean 'table1'"),
        ("mine.toml", "paper", "never requested at scale paper .* only at smoke"),
        ("mine.toml", "smok", "did you mean 'smoke'"),
    ],
)
def test_what_was_never_requested_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, scale: str | None, said: str
) -> None:
    requested(tmp_path, str(own_spec(tmp_path)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=said):
        collect(Store(tmp_path), [name], scale, tmp_path)


def test_a_spec_that_is_gone_is_named(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    requested(tmp_path, str(spec))
    spec.unlink()
    with pytest.raises(SpecError, match=r"mine\.toml was requested but is gone"):
        collect(Store(tmp_path), [], None, tmp_path)


def test_two_specs_of_one_name_are_not_written_over_each_other(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        requested(tmp_path, str(own_spec(tmp_path / folder)))
    with pytest.raises(SpecError, match=r"would be one page, mine\.html"):
        collect(Store(tmp_path), [], None, tmp_path)


def run(root: Path, *options: str) -> Result:
    return CliRunner().invoke(command, ["--root", str(root), *options])


def test_the_command_writes_a_page_and_its_tables_and_says_where(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    requested(tmp_path, str(spec), scale="paper")
    page = tmp_path / "report" / "mine.html"
    found = run(tmp_path)
    assert (found.exit_code, found.stdout) == (0, f"{page}\n")
    assert page.with_suffix(".csv").read_text().startswith("exhibit,scale,")
    assert page.with_suffix(".md").read_text().startswith("# A \\& B")
    assert "\\begin{table}" in page.with_suffix(".tex").read_text()
    out = tmp_path / "elsewhere"
    said = json.loads(run(tmp_path, str(spec), "--json", "--out", str(out)).stdout)
    endings = {"pages": "html", "csv": "csv", "markdown": "md", "latex": "tex"}
    files = {name: [str(out / f"mine.{ending}")] for name, ending in endings.items()}
    assert said == files | {"comparisons": []}
    assert sorted(path.name for path in out.iterdir()) == [
        f"mine.{ending}" for ending in sorted(endings.values())
    ]


def test_an_empty_store_is_one_sentence_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "none"
    monkeypatch.setattr(sys, "argv", ["ekd-report", "--root", str(root)])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert said.out == ""
    assert said.err.startswith("Error: nothing was requested in")
    assert said.err.count("\n") == 1
    assert not root.exists()


def test_a_folder_that_cannot_be_written_is_told_with_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requested(tmp_path, plain_spec(tmp_path))
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "pages"
    options = ["ekd-report", "--root", str(tmp_path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", options)
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr().err
    assert stopped.value.code == 4
    assert said.startswith(f"Error: cannot write to {out}: Not a directory: ")
    assert said.endswith("choose another --out\n")
    assert "--root" not in said


def test_an_interrupt_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["ekd-report"])
    monkeypatch.setattr("ekd.report.collect", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert (stopped.value.code, capsys.readouterr().err.strip()) == (3, "interrupted")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, ekd.cli.report as r; sys.exit(bool({'torch','scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
