"""The end of a training: what is kept of it, and when there is no result."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
from torch import Tensor, nn

from ekd.methods import Batch
from ekd.methods.plain import PlainObjective
from ekd.models import CompNet
from ekd.spec import EnvironmentProblem, Run
from ekd.store import RunFolder, Store
from ekd.trainer import Diverged, Saver, begin, build, finish, infer, score, train


def stored(folder: RunFolder) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    weights = safetensors.torch.load(folder.read_output("weights.safetensors"))
    with np.load(io.BytesIO(folder.read_output("test_outputs.npz")), allow_pickle=False) as file:
        return weights, dict(file)


def test_kept_weights_give_the_kept_outputs_and_scores(tiny_npz: Path, store: Store) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), 2)
    folder = tiny.trained(run, store)
    weights, outputs = stored(folder)
    splits = tiny.task(run, store).splits
    for name, branches in (("student", 2), ("teacher-1", 1), ("teacher-2", 1)):
        net = CompNet("resnet8", branches, tiny.CLASSES)
        own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(name)}
        net.load_state_dict(own)
        found = infer(net, splits.test, splits.mean, splits.std)
        np.testing.assert_allclose(outputs[f"{name}.logits"], found.logits, rtol=1e-4, atol=1e-5)
    result = folder.result()
    logits, labels = torch.from_numpy(outputs["student.logits"]), splits.test.labels
    assert np.array_equal(outputs["labels"], labels)
    assert result["accuracy"] == score(logits, logits[None], labels).accuracy
    ensemble = torch.from_numpy(outputs["teacher-1.logits"] + outputs["teacher-2.logits"])
    assert result["teacher_ensemble"]["nll"] == pytest.approx(
        score(ensemble, ensemble[None], labels).nll, rel=1e-6
    )
    assert [teacher["net"] for teacher in result["teachers"]] == ["teacher-1", "teacher-2"]
    assert outputs["student.features"].shape == (24, 128)
    assert outputs["student.features"].dtype == np.float16


def scripted(store: Store, run: Run, accuracies: list[float], monkeypatch: Any) -> RunFolder:
    """Train `run` with evaluations that seem to give these accuracies."""
    from ekd.trainer import loop

    real, left = loop.evaluate, iter(accuracies)

    def pretended(*arguments: Any) -> Any:
        scores = real(*arguments)
        return type(scores)(**(vars(scores) | {"accuracy": next(left)}))

    monkeypatch.setattr(loop, "evaluate", pretended)
    return tiny.trained(run, store)


def test_the_best_evaluations_weights_are_kept_where_the_recipe_says_so(
    tiny_npz: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(epochs: int, selection: str) -> Run:
        return tiny.run_of(tiny_npz, epochs=epochs, milestones=(), selection=selection)

    best = scripted(store, run(4, "best"), [0.1, 0.9, 0.9, 0.2], monkeypatch)
    monkeypatch.undo()
    after_two, after_four = (tiny.trained(run(n, "last"), store) for n in (2, 4))
    names = [(f.result()["selection"], f.result()["selected_epoch"]) for f in (best, after_four)]
    assert names == [("best", 2), ("last", 4)]
    kept, at_two, at_four = (stored(folder)[0] for folder in (best, after_two, after_four))
    assert all(torch.equal(kept[name], value) for name, value in at_two.items())
    assert not all(torch.equal(kept[name], value) for name, value in at_four.items())


def test_with_a_holdout_the_curve_is_the_holdouts_and_test_is_read_once(
    tiny_npz: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.run_of(tiny_npz, {"holdout": 0.25}, epochs=3)
    task = tiny.task(run, store)
    task.folder.write_spec(run.resolved())
    state, _threads = begin(task, build(run, tiny.CLASSES, store))
    test = task.splits.test.images.clone()
    task.splits.test.images.zero_()  # whoever looks too early sees nothing
    lines = list(train(task, state, Saver(task.folder)))
    task.splits.test.images.copy_(test)
    result = finish(task, state)
    assert {line["split"] for line in lines} == {"holdout"}
    assert lines[-1]["accuracy"] == result["holdout"]["accuracy"]
    assert lines[-1]["nll"] == pytest.approx(result["holdout"]["nll"], rel=1e-6)
    splits = task.splits
    found = infer(state.objective.student, splits.test, splits.mean, splits.std)
    assert result["nll"] == score(found.logits, found.branches, splits.test.labels).nll
    assert (result["train_images"], result["test_images"]) == (36, 24)


def test_a_rate_of_a_billion_diverges_and_keeps_the_last_finite_checkpoint(
    tiny_npz: Path, store: Store
) -> None:
    run = tiny.run_of(tiny_npz, lr=1e9)
    task = tiny.task(run, store)
    task.folder.write_spec(run.resolved())
    with pytest.raises(Diverged, match=r"not finite|loss is"):
        list(tiny.epochs(run, store, between=0))
    assert task.folder.status() == "partial"
    assert not (task.folder.path / "result.json").exists()
    kept = task.folder.read_checkpoint()
    assert kept is not None
    state, _ = begin(task, build(run, tiny.CLASSES, store))
    state.check_finite()
    assert (state.epoch, state.step) != (0, 0)


class Exploding(PlainObjective):
    """A loss that is not a number from the step that is asked for."""

    def __init__(self, student: CompNet, step: int) -> None:
        super().__init__(student, "sum")
        self.left = step

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        self.left -= 1
        logits, terms = super().terms(batch, progress)
        if self.left < 0:
            return logits, {"ce": terms["ce_student"].detach() * float("nan")} | {
                "zero": sum(p.sum() * 0 for p in self.parameters())
            }
        return logits, terms


def test_a_loss_that_is_not_a_number_ends_the_training_in_its_epoch(
    tiny_npz: Path, store: Store
) -> None:
    run = tiny.run_of(tiny_npz)
    objective = Exploding(build(run, tiny.CLASSES, store).student, step=4)
    with pytest.raises(Diverged, match="epoch 2"):
        tiny.driven(run, store, objective)
    assert [line["epoch"] for line in store.folder(run).history()] == [1]


def test_a_statistic_that_is_not_finite_is_divergence(tiny_npz: Path, store: Store) -> None:
    run = tiny.run_of(tiny_npz)
    task = tiny.task(run, store)
    state, _ = begin(task, build(run, tiny.CLASSES, store))
    state.check_finite()
    norm = next(m for m in state.objective.student.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.running_var is not None
    norm.running_var[0] = float("inf")
    with pytest.raises(Diverged):
        state.check_finite()


def test_a_history_that_lost_an_epoch_is_not_continued(tiny_npz: Path, store: Store) -> None:
    run = tiny.run_of(tiny_npz)
    stopped = tiny.epochs(run, store, between=0)
    next(stopped), next(stopped)
    stopped.close()
    path = store.folder(run).path / "history.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(EnvironmentProblem, match="lacks epochs"):
        next(tiny.epochs(run, store))


def test_training_leaves_the_stored_teacher_alone(tiny_npz: Path, store: Store) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), 1)
    tiny.trained(run.teachers[0].run, store)
    folder = store.folder(run.teachers[0].run)
    before = (folder.path / "weights.safetensors").read_bytes()
    tiny.trained(run, store)
    assert folder.read_output("weights.safetensors") == before
