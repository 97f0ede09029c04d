"""Methods that train in two runs: a hint run on features alone, then the main run from there."""

from __future__ import annotations

from abc import ABC
from typing import Literal

from pydantic import Field

from ekd.methods import Method
from ekd.spec import Parent, Run


class TwoStage(Method, ABC):
    """A method whose student learns from its teacher's features first, in a run of its own."""

    stage: Literal["main", "hint"] = "main"
    """main: what a spec asks for. hint: the run before it, which is added by itself; its classifier
    stays untrained, so it has no accuracy to show."""
    hint_share: float = Field(0.4, ge=0.01, le=0.99)
    """Part of the recipe's epochs that the hint run takes from the main run. No value is published
    for this network; public code for CIFAR has 40 hint epochs before 100 others."""
    hint_lr: float = Field(0.01, ge=1e-5, le=10)
    """Learning rate of the hint run, whose loss is on another scale than a cross-entropy; its
    milestones are the recipe's."""

    def teacher_count(self, run: Run) -> int | None:
        """Take one teacher."""
        return 1

    def classifies(self) -> bool:
        """Nobody has trained the classifier after a hint run."""
        return self.stage == "main"

    def chain(self, run: Run) -> Run:
        """Let the hint run come first: it takes its share of the epochs from the main run."""
        total = run.recipe.epochs
        if self.stage == "hint" or run.start is not None or total < 2:
            return run
        epochs = min(max(1, round(self.hint_share * total)), total - 1)
        changes = {"epochs": epochs, "lr": self.hint_lr, "selection": "last", "evaluations": 1}
        hint = {
            "method": type(self)(stage="hint"),  # no other field has an effect there
            "recipe": run.recipe.model_copy(update=changes),
        }
        main = {
            "recipe": run.recipe.model_copy(update={"epochs": total - epochs}),
            "start": Parent(run=run.model_copy(update=hint)),
        }
        return run.model_copy(update=main)

    def refuses(self, run: Run) -> str | None:
        """Refuse a hint run on its own, and epochs that two runs cannot share."""
        if self.stage == "hint":
            return "a hint run has no accuracy to show, and is added where needed: leave stage out"
        if run.start is None:
            return "the epochs are shared by a hint run and a main run: recipe.epochs is 2 or more"
        return None
