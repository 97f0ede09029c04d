"""FitNet: what its two losses are, what each of them trains, and what must stay as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_objectives import (
    BATCH,
    METHODS,
    a_batch,
    an_objective,
    kept,
    moved,
    two_adam_steps,
)
from torch import Tensor, nn

from ekd.methods import Objective, copied, fitnet
from ekd.models import CompNet

Array = NDArray[np.float64]
HINT = METHODS["fitnet"].model_validate({"stage": "hint"})
MAIN = METHODS["fitnet"]()
BRANCH_COUNTS = pytest.mark.parametrize("branches", [1, 3])


def hinted(branches: int = 1) -> tuple[Objective, list[CompNet]]:
    with torch.random.fork_rng():  # the regressor draws its start
        torch.manual_seed(0)
        return an_objective(HINT, branches)


def array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().double().numpy())


def features(net: nn.Module, number: int) -> Array:
    """Give what stage `number` of each branch gives for the batch, channels side by side."""
    found: list[Tensor] = []
    hooks = [
        branch.stages[number - 1].register_forward_hook(lambda _, __, out: found.append(out))
        for branch in net.branches
    ]
    with torch.no_grad():
        net(a_batch().x)
    for hook in hooks:
        hook.remove()
    return np.concatenate([array(out) for out in found], axis=1)


# The hint run


def check_hint_by_hand() -> None:
    regressed, hint = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -2.0]])
    assert fitnet.hint_loss(regressed, hint).item() == pytest.approx((9 + 16) / 2 / 2)


def check_hint(branches: int = 1) -> None:
    """Eq. 3 on stage 2 with the regressor written out: 1x1 convolution, BatchNorm, ReLU."""
    objective, (teacher,) = hinted(branches)
    objective.train()
    guided = features(objective.student, 2)  # [B, N*32, 4, 4]
    hint = features(teacher.eval(), 2)  # [B, 32, 4, 4]
    weight = array(objective.regressor[0].weight)[:, :, 0, 0]  # [32, N*32]
    z = np.einsum("oc,bchw->bohw", weight, guided)
    mean, variance = z.mean((0, 2, 3), keepdims=True), z.var((0, 2, 3), keepdims=True)
    regressed = np.maximum((z - mean) / np.sqrt(variance + 1e-5), 0)
    expected = ((regressed - hint) ** 2).sum() / (2 * BATCH * 32 * 4 * 4)
    step = objective(a_batch(), 0.3)
    assert step.terms.keys() == {"hint"}
    assert step.loss.item() == pytest.approx(expected, rel=1e-4)


@BRANCH_COUNTS
def test_the_hint_is_half_the_mean_squared_distance_after_stage_2(branches: int) -> None:
    check_hint_by_hand()
    check_hint(branches)


def untrained(name: str) -> bool:
    return ".stages.2." in name or ".linear." in name


def check_hint_moves(branches: int = 1) -> None:
    """The hint moves every weight and statistic up to stage 2, and not one bit behind it."""
    objective, _ = hinted(branches)
    before = kept(objective)
    two_adam_steps(objective)
    objective.student.train()  # as evaluating the student leaves it
    two_adam_steps(objective)
    after = objective.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    own = {name for name in before if not name.startswith("teachers.")}
    assert changed == {name for name in own if not untrained(name)}
    assert any("running_var" in name for name in changed)


@BRANCH_COUNTS
def test_a_hint_run_trains_the_student_up_to_stage_2_and_its_regressor(branches: int) -> None:
    check_hint_moves(branches)
    objective, _ = hinted(branches)
    trained = [name for name, p in objective.named_parameters() if p.requires_grad]
    assert not any(untrained(name) for name in trained)
    assert {name.split(".")[0] for name in trained} == {"student", "regressor"}


def test_a_hint_asks_nothing_of_the_labels() -> None:
    objective, _ = hinted()
    batch = a_batch()
    other = type(batch)(batch.x, (batch.y + 1) % 5, batch.index, 0, batch.generator)
    assert objective(batch, 0.0).loss.item() == objective(other, 0.9).loss.item()


def test_the_regressor_is_no_net_that_a_run_keeps() -> None:
    objective, _ = hinted()
    assert [name for name, _ in objective.nets()] == ["student", "teacher-1"]
    assert any(name.startswith("regressor.") for name in objective.state_dict())


def test_both_runs_leave_their_teacher_alone() -> None:
    check_teacher_stays()


def check_teacher_stays() -> None:
    for objective, (teacher,) in (hinted(), an_objective(MAIN, 1)):
        before = kept(teacher)
        two_adam_steps(objective)
        assert not moved(before, dict(objective.nets())["teacher-1"])


# The main run


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def check_main(branches: int = 1) -> None:
    """Eq. 2 by its formula, where lambda is 4 at the start, half way 2.5, and 1 at the end."""
    objective, (teacher,) = an_objective(MAIN, branches)
    objective.train()
    batch = a_batch()
    with torch.no_grad():
        z_s = array(objective.student(batch.x).branches).sum(0)
        z_t = array(teacher.eval()(batch.x).logits)
    ce = -np.log(softmax(z_s)[np.arange(BATCH), batch.y.numpy()]).mean()
    softened = -(softmax(z_t / 3) * np.log(softmax(z_s / 3))).sum(1).mean()
    for progress, weight in ((0.0, 4.0), (0.5, 2.5), (1.0, 1.0)):
        terms = {name: term.item() for name, term in objective(batch, progress).terms.items()}
        expected = {"ce_student": ce, "ce_softened": weight * softened}
        assert terms == pytest.approx(expected, rel=1e-4)


@BRANCH_COUNTS
def test_the_main_run_weighs_the_softened_outputs_by_4_falling_to_1(branches: int) -> None:
    check_main(branches)


def test_the_main_run_trains_the_whole_student() -> None:
    objective, _ = an_objective(MAIN, 1)
    before = kept(objective.student)
    two_adam_steps(objective)
    after = objective.student.state_dict()
    assert not any(torch.equal(value, after[name]) for name, value in before.items())


# What public code got wrong


def over_classes(s: Tensor, t: Tensor, temperature: float) -> Tensor:
    return CORRECT(s, t, temperature) / s.shape[1]


def squared(s: Tensor, t: Tensor, temperature: float) -> Tensor:
    return CORRECT(s, t, temperature) * temperature**2


def two_logs(s: Tensor, t: Tensor, temperature: float) -> Tensor:
    log_t = (t / temperature).log_softmax(-1)
    return -(log_t * (s / temperature).log_softmax(-1)).sum(-1).mean()


def all_in_eval(self: Objective, mode: bool = True) -> Objective:
    return nn.Module.train(self, False)


CORRECT = fitnet.soft_cross_entropy
HintObjective = fitnet.HintObjective
MUTANTS: dict[str, tuple[object, str, object, Callable[[], None]]] = {
    "divided by the classes": (fitnet, "soft_cross_entropy", over_classes, check_main),
    "T squared": (fitnet, "soft_cross_entropy", squared, check_main),
    "log-probabilities twice": (fitnet, "soft_cross_entropy", two_logs, check_main),
    "teacher as student": (fitnet, "soft_cross_entropy", lambda s, t, T: CORRECT(t, s, T),
                           check_main),
    "never annealed": (fitnet, "annealed", lambda start, end, progress: start, check_main),
    "annealed upwards": (fitnet, "annealed", lambda s, e, p: e + (s - e) * p, check_main),
    "a sum": (fitnet, "hint_loss", lambda r, h: (r - h).square().sum() / 2, check_hint_by_hand),
    "without the half": (fitnet, "hint_loss", nn.functional.mse_loss, check_hint),
    "teacher trained": (fitnet, "frozen", copied, check_teacher_stays),
    "gradient behind stage 2": (HintObjective, "_untrained", lambda self: [], check_hint_moves),
    "statistics behind stage 2": (HintObjective, "train", nn.Module.train, check_hint_moves),
    "student left in eval": (HintObjective, "train", all_in_eval, check_hint_moves),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_that_others_made_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, wrong, check = MUTANTS[name]
    check()
    monkeypatch.setattr(place, attribute, wrong)
    with pytest.raises(AssertionError):
        check()
