"""`ekd-sweep show`: names, JSON, text, studies in every state, and what it never does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fabricated_study import ABOUT, POINT, add, begun, searched

from ekd.cli.sweep_show import command
from ekd.spec import EnvironmentProblem, SpecError

LINE: dict[str, Any] = {"method.alpha": {"low": 0.0, "high": 1.0}}
HALF = {"method.alpha": 0.5}
SMALL: dict[str, Any] = {
    "method.alpha": {"low": 0.0, "high": 1.0},
    "data.<b>pick</b>": {"choices": ["<script>alert(1)</script>", "$x_1$"]},
}


def shown(root: Path, *arguments: str) -> str:
    """The output of `ekd-sweep show`; what it raises is raised here."""
    result = CliRunner().invoke(
        command, [*arguments, "--root", str(root)], catch_exceptions=False, standalone_mode=False
    )
    return result.output


def as_json(root: Path, *arguments: str) -> dict[str, Any]:
    told = json.loads(shown(root, *arguments, "--json"), parse_constant=pytest.fail)
    assert isinstance(told, dict)
    return told


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def small(root: Path, **about: Any) -> Any:
    return begun(root, "small@smoke", space=SMALL, first=[], **about)


def fill(study: Any, kind: str) -> None:
    """Bring a study into a state that a page must survive."""
    choices = SMALL["data.<b>pick</b>"]["choices"]
    point = {"method.alpha": 0.25, "data.<b>pick</b>": choices[0]}
    match kind:
        case "one":
            add(study, "COMPLETE", [0.5], point)
        case "failed":
            for _ in range(3):
                add(study, "FAIL", None, point, failure="<i>it</i> & broke")
        case "equal":
            for n in range(12):
                add(study, "COMPLETE", [0.5], point | {"method.alpha": n / 12}, start=60.0 * n)
        case "infinite":
            add(study, "COMPLETE", [math.inf], point, {1: math.nan, 2: math.inf})
            add(study, "COMPLETE", [0.5], point)
        case "running":
            add(study, "RUNNING", None, point, {1: 0.125})
        case "refused":
            add(study, "FAIL", None, {}, lasted=0.0, failure="refused")
        case "choices":
            for n in range(12):
                add(study, "COMPLETE", [n / 20], {**point, "data.<b>pick</b>": choices[n % 2]})


KINDS = ("empty", "one", "failed", "equal", "infinite", "running", "refused", "choices")


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_of_a_study_is_shown(tmp_path: Path, kind: str) -> None:
    fill(small(tmp_path), kind)
    told = as_json(tmp_path, "small")
    lines = shown(tmp_path, "small").splitlines()
    page = (tmp_path / "report" / "small@smoke.html").read_text(encoding="utf-8")
    assert lines[-1] == str(tmp_path / "report" / "small@smoke.html")
    assert max(map(len, lines[:-2])) <= 80
    assert told["best"] == {"one": 0, "equal": 0, "infinite": 1, "choices": 11}.get(kind)
    assert "<script" not in page
    assert "<b>pick" not in page
    assert "<i>it" not in page
    assert "nan" not in page.lower().replace("financ", "")
    assert str(tmp_path) not in page


def test_the_json_is_the_whole_study(tmp_path: Path) -> None:
    study = begun(tmp_path)
    add(study, "COMPLETE", [0.5], POINT, label="paper", run="a" * 16, seconds=3600.0)
    add(study, "FAIL", None, POINT, run="b" * 16, failure="diverged: at epoch 2", seconds=1800.0)
    add(study, "PRUNED", None, POINT, {1: 0.25}, run="c" * 16, seconds=0.0)
    add(study, "RUNNING", None, POINT, {1: 0.25})
    add(study, "WAITING")
    told = as_json(tmp_path, "hparams@smoke")
    assert list(told) == [
        "study", "scale", "title", "directions", "trials", "best", "importances", "paper_rank",
        "again", "test", "hours",
    ]  # fmt: skip
    assert told["trials"] == [
        {"number": 0, "state": "COMPLETE", "value": 0.5, "params": POINT, "run": "a" * 16,
         "label": "paper", "seconds": 3600.0},
        {"number": 1, "state": "FAIL", "value": None, "params": POINT, "run": "b" * 16,
         "seconds": 1800.0, "failure": "diverged: at epoch 2"},
        {"number": 2, "state": "PRUNED", "value": None, "params": POINT, "run": "c" * 16,
         "seconds": 0.0},
        {"number": 3, "state": "RUNNING", "value": None, "params": POINT, "run": None},
        {"number": 4, "state": "WAITING", "value": None, "params": {}, "run": None},
    ]  # fmt: skip
    assert (told["study"], told["scale"], told["title"]) == ("hparams@smoke", "smoke",
                                                            ABOUT["title"])  # fmt: skip
    assert (told["best"], told["paper_rank"], told["test"]) == (0, 1, None)
    assert told["importances"] == {"ped_anova": None, "fanova": None}
    assert told["hours"] == 1.5
    assert not (tmp_path / "report").exists()


def test_two_objectives_add_operations_and_the_front(tmp_path: Path) -> None:
    study = begun(tmp_path, space=LINE, directions=["maximize", "minimize"])
    add(study, "COMPLETE", [0.5, 9e6], HALF)
    add(study, "COMPLETE", [0.4, 9e6], HALF)
    told = as_json(tmp_path, "hparams")
    assert told["front"] == [0]
    assert [trial["operations"] for trial in told["trials"]] == [9e6, 9e6]
    assert [trial["value"] for trial in told["trials"]] == [0.5, 0.4]
    shown(tmp_path, "hparams")
    page = (tmp_path / "report" / "hparams@smoke.html").read_text(encoding="utf-8")
    assert 'aria-label="Accuracy against operations"' in page


def test_a_whole_search_is_told_on_text_and_page(tmp_path: Path) -> None:
    searched(tmp_path)
    before = files(tmp_path)
    said = shown(tmp_path, "hparams", "--out", str(tmp_path / "page"))
    assert {name: files(tmp_path)[name] for name in before} == before
    text = " ".join(said.split())
    assert "40 trials (32 completed, 5 pruned, 2 failed, 1 running)" in text
    assert "The paper's point, trial 0, ranks 15th of 32: 86.76 %" in text
    page = (tmp_path / "page" / "hparams@smoke.html").read_text(encoding="utf-8")
    drawings = page.split("<svg ")[1:]
    assert len(drawings) == 2 + 1 + 4 + 6
    assert all("var(--paper)" in drawing.partition("</svg>")[0] for drawing in drawings)
    assert page.count('<a href="#t0"><title>trial 0 (paper), 86.76 %') > 10
    assert 'id="t39"' in page
    ids = [part.partition('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    assert "2026-03" not in page  # no clock but that of the search


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    fill(small(tmp_path), "choices")
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        shown(tmp_path, "small", "--out", str(place))
    one, two = (place / "small@smoke.html" for place in places)
    assert one.read_bytes() == two.read_bytes()


def test_a_sweep_names_its_only_search(tmp_path: Path) -> None:
    begun(tmp_path, "mine@reduced", scale="reduced")
    for name in ("mine", "mine@reduced", "some/where/mine.toml"):
        assert as_json(tmp_path, name)["study"] == "mine@reduced"
    assert as_json(tmp_path, "mine", "--scale", "reduced")["scale"] == "reduced"


def test_several_scales_want_a_choice(tmp_path: Path) -> None:
    begun(tmp_path, "mine@smoke")
    begun(tmp_path, "mine@reduced", scale="reduced")
    with pytest.raises(SpecError, match=r"several scales \(reduced, smoke\): give --scale"):
        shown(tmp_path, "mine")
    assert as_json(tmp_path, "mine", "--scale", "smoke")["study"] == "mine@smoke"


def test_a_study_with_a_name_of_its_own_is_found_by_it(tmp_path: Path) -> None:
    begun(tmp_path, "tuesday")
    assert as_json(tmp_path, "tuesday", "--scale", "smoke")["study"] == "tuesday"
    with pytest.raises(SpecError, match="tuesday is at scale smoke, not paper"):
        shown(tmp_path, "tuesday", "--scale", "paper")


def test_a_study_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no study 'hparams'"):
        shown(tmp_path, "hparams")
    begun(tmp_path, "hparams@smoke")
    with pytest.raises(SpecError, match=r"no study 'hparam'.*there are hparams@smoke"):
        shown(tmp_path, "hparam")
    with pytest.raises(SpecError, match=r"no study 'hparams@paper'.*there are hparams@smoke"):
        shown(tmp_path, "hparams", "--scale", "paper")


def test_a_torn_journal_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    study = begun(tmp_path, space=LINE)
    add(study, "COMPLETE", [0.5], HALF)
    add(study, "COMPLETE", [0.6], HALF)
    journal = tmp_path / "sweeps" / "hparams@smoke.journal"
    journal.write_bytes(journal.read_bytes()[:-20])
    before = files(tmp_path)
    said = shown(tmp_path, "hparams", "--out", str(tmp_path / "page"))
    assert "last line of the journal is not whole" in " ".join(said.split())
    assert as_json(tmp_path, "hparams")["best"] == 0
    assert {name: files(tmp_path)[name] for name in before} == before
    assert "not whole" in (tmp_path / "page" / "hparams@smoke.html").read_text(encoding="utf-8")


def test_a_damaged_journal_is_one_sentence(tmp_path: Path) -> None:
    begun(tmp_path)
    journal = tmp_path / "sweeps" / "hparams@smoke.journal"
    journal.write_bytes(b"garbage\n" + journal.read_bytes())
    with pytest.raises(EnvironmentProblem, match="damaged"):
        shown(tmp_path, "hparams")


def test_another_storage_is_read(tmp_path: Path) -> None:
    begun(tmp_path, "hparams@smoke")
    journal = tmp_path / "sweeps" / "hparams@smoke.journal"
    other = journal.rename(tmp_path / "elsewhere.log")
    for name in ("hparams", "hparams@smoke"):
        assert as_json(tmp_path, name, "--storage", str(other))["study"] == "hparams@smoke"


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no file"):
        shown(tmp_path, "hparams", "--storage", f"sqlite:///{tmp_path / 'no.db'}")
    assert files(tmp_path) == {}


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    begun(tmp_path, space=LINE)
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="choose another --out"):
        shown(tmp_path, "hparams", "--out", str(tmp_path / "file" / "below"))


def test_a_name_with_slashes_stays_in_its_folder(tmp_path: Path) -> None:
    study = begun(tmp_path, "plain", space=LINE)
    add(study, "COMPLETE", [0.5], HALF)
    journal = tmp_path / "sweeps" / "plain.journal"
    journal.write_text(journal.read_text().replace('"study_name":"plain"', '"study_name":"../a"'))
    out = tmp_path / "deep" / "out"
    shown(tmp_path, "../a", "--storage", str(journal), "--out", str(out))
    assert [path.name for path in (tmp_path / "deep").rglob("*.html")] == ["-a.html"]
