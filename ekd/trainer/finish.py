"""The end of a training: test read once, everything that a later report needs is kept."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch

from ekd.cost import parameters
from ekd.methods import Method
from ekd.models import combined
from ekd.trainer.evaluate import Predictions, evaluate, infer, score
from ekd.trainer.loop import Task
from ekd.trainer.state import State


def finish(task: Task, state: State) -> dict[str, Any]:
    """Score what was trained on the test images, keep weights and outputs, give result.json."""
    selected = state.epoch
    if state.best is not None:
        state.objective.load_state_dict(state.best["weights"])
        selected = state.best["epoch"]
    found = _predictions(task, state)
    result = _result(task, state, found) | {"selected_epoch": selected}
    files = {
        "weights.safetensors": _weights(task, state),
        "test_outputs.npz": _outputs(task, found),
    }
    task.folder.write_outputs(files, result)
    return task.folder.result()


def _predictions(task: Task, state: State) -> dict[str, Predictions]:
    """Run the student, and the teachers that were trained with it, on the test images."""
    splits = task.splits
    return {
        name: infer(net, splits.test, splits.mean, splits.std)
        for name, net in state.objective.nets()
        if name == "student" or any(True for _ in net.parameters())
    }


def _result(task: Task, state: State, found: dict[str, Predictions]) -> dict[str, Any]:
    run, splits = task.run, task.splits
    labels = splits.test.labels
    scores = {name: asdict(score(p.logits, p.branches, labels)) for name, p in found.items()}
    classifies = cast(Method, run.method).classifies()
    teachers = [name for name in found if name != "student"]
    ensemble = None
    if teachers:
        branches = torch.stack([found[name].logits for name in teachers])  # [N_t, n, K]
        ensemble = asdict(score(combined(branches, run.student.combine), branches, labels))
    holdout = None
    if splits.holdout and classifies:
        holdout = asdict(evaluate(state.objective.student, splits.holdout, splits.mean, splits.std))
    nets = dict(state.objective.nets())
    history = task.folder.history()
    return {
        "status": "done",
        **(scores["student"] if classifies else dict.fromkeys(scores["student"])),
        "teachers": [{"net": t, "arch": nets[t].arch, **scores[t]} for t in teachers],
        "teacher_ensemble": ensemble,
        "holdout": holdout,
        "selection": run.recipe.selection,
        "epochs": state.epoch,
        "steps_per_epoch": task.steps,
        "seconds": round(sum(line["seconds"] for line in history), 3),
        "train_images": len(splits.train.labels),
        "test_images": len(labels),
        "parameters": parameters(state.objective.student),
        "classes": list(splits.classes),
        "mean": splits.mean.tolist(),
        "std": splits.std.tolist(),
    }


def _weights(task: Task, state: State) -> bytes:
    """Serialise all networks; the metadata say how to feed them."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, net in state.objective.nets()
        for key, value in net.state_dict().items()
    }
    splits = task.splits
    about = {
        "run": task.run.resolved(),
        "classes": list(splits.classes),
        "mean": splits.mean.tolist(),
        "std": splits.std.tolist(),
    }
    # One metadata key: with several, their order and so the file's hash would vary.
    return safetensors.torch.save(tensors, {"ekd": json.dumps(about)})


def _outputs(task: Task, found: dict[str, Predictions]) -> bytes:
    arrays = {"labels": task.splits.test.labels.cpu().numpy()}
    for name, outputs in found.items():
        arrays[f"{name}.logits"] = outputs.logits.cpu().numpy()  # [n, K]
        if name == "student":
            arrays["student.branches"] = outputs.branches.cpu().numpy()  # [N, n, K]
            arrays["student.features"] = outputs.features.half().cpu().numpy()  # [n, N*64]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
