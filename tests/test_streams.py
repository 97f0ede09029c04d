"""Random streams: pinned, apart from each other and from torch's global generator."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from ekd.methods import discover
from ekd.spec import Model
from ekd.store import Store
from ekd.streams import generator, stream_seed
from ekd.trainer import build


@pytest.mark.parametrize(
    ("seed", "names", "value"),
    [
        (0, ("order", 0), 3955691223199900983),
        (1, ("order", 0), 433034383059858670),
        (0, ("augment", 12), 1299025614596950155),
    ],
)
def test_a_stream_keeps_its_pinned_seed(
    seed: int, names: tuple[str | int, ...], value: int
) -> None:
    assert stream_seed(seed, *names) == value


def test_draws_are_pinned() -> None:
    assert torch.randperm(6, generator=generator(0, "order", 0)).tolist() == [3, 5, 2, 1, 0, 4]


def test_seeds_differ_by_every_part_and_fit_a_generator() -> None:
    parts = [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a"), (0, "a", 1, 0)]
    seeds = [stream_seed(*part) for part in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_neither_reads_nor_moves_the_global_generator() -> None:
    torch.manual_seed(1)
    first = torch.rand(3, generator=generator(5, "x"))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert torch.equal(torch.rand(3, generator=generator(5, "x")), first)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_building_a_run_leaves_the_global_generator_alone(tiny_npz: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    build(tiny.plain(tiny.data(tiny_npz)), tiny.CLASSES, Store(tmp_path))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_student_starts_the_same_under_every_method(tiny_npz: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = tiny.ekd(tiny.data(tiny_npz), 2, epochs=1)
    for parent in run.teachers:
        tiny.trained(parent.run, store)
    method = discover()["plain"]()
    alone = run.model_copy(update={"method": method, "teachers": ()})
    taught = build(run, tiny.CLASSES, store).student.state_dict()
    untaught = build(alone, tiny.CLASSES, store).student.state_dict()
    assert all(torch.equal(taught[name], untaught[name]) for name in untaught)


def test_a_branch_starts_the_same_whatever_their_number(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    wide = run.model_copy(update={"student": Model(branches=3)})
    one, three = (build(r, tiny.CLASSES, Store(tmp_path)).student for r in (run, wide))
    first, second, _ = (branch.state_dict() for branch in three.branches)
    assert all(torch.equal(first[k], v) for k, v in one.branches[0].state_dict().items())
    assert not all(torch.equal(second[k], v) for k, v in first.items())


def test_another_seed_starts_elsewhere(tiny_npz: Path, tmp_path: Path) -> None:
    nets = [build(tiny.plain(tiny.data(tiny_npz), s), 3, Store(tmp_path)).student for s in (0, 1)]
    weights = [next(net.parameters()) for net in nets]
    assert not torch.equal(*weights)
