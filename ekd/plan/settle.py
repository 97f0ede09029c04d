"""Fields without effect take their neutral value, so that equal trainings have one key."""

from __future__ import annotations

from typing import Any

from ekd.spec import Data, Model, Parent, Recipe, Run


def settled(run: Run) -> Run:
    """Reset what cannot matter for this run, and for those that it learns from."""
    return run.model_copy(
        update={
            "student": run.student.model_copy(update=_student(run)),
            "data": run.data.model_copy(update=_data(run)),
            "recipe": run.recipe.model_copy(update=_recipe(run)),
            "teachers": tuple(_parent(teacher) for teacher in run.teachers),
            "start": run.start and _parent(run.start),
        }
    )


def _parent(parent: Parent) -> Parent:
    return parent.model_copy(update={"run": settled(parent.run)})


def _student(run: Run) -> dict[str, Any]:
    alone = run.student.branches == 1 and len(run.teachers) <= 1  # nothing to combine
    return _defaults(Model, "combine") if alone else {}


def _data(run: Run) -> dict[str, Any]:
    data = run.data
    reset: dict[str, Any] = {}
    if not run.teachers or data.fraction == 1:
        reset |= _defaults(Data, "teacher_data")
    if data.fraction == 1:
        reset |= _defaults(Data, "sampling")
        if not data.holdout:
            reset |= _defaults(Data, "subset_seed")
    return reset


def _recipe(run: Run) -> dict[str, Any]:
    recipe = run.recipe
    reset: dict[str, Any] = {}
    if run.data.fraction == 1:
        reset |= _defaults(Recipe, "budget")
    if recipe.optimizer != "sgd":
        reset |= _defaults(Recipe, "momentum", "nesterov")
    if not recipe.milestones:
        reset |= _defaults(Recipe, "lr_factor")
    if not recipe.weight_decay:
        reset |= _defaults(Recipe, "decay_norm_and_bias")
    return reset


def _defaults(model: type[Data | Model | Recipe], *fields: str) -> dict[str, Any]:
    return {field: model.model_fields[field].default for field in fields}
