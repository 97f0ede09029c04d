"""FSP: its matrices, their distance, what its hint run trains, and the refusal of branches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from planned import derived
from tiny_objectives import BATCH, METHODS, a_batch, an_objective, kept, moved, two_adam_steps
from torch import Tensor

from ekd.methods import copied, fsp
from ekd.spec.resolve import FieldError

Array = NDArray[np.float64]
HINT = METHODS["fsp"].model_validate({"stage": "hint"})
MAIN = METHODS["fsp"]()
SHAPES = ((2, 3, 4, 4), (2, 3, 4, 4), (2, 5, 2, 2), (2, 4, 1, 1))
"""Features of stem and stages, as small as they can be."""


def array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().double().numpy())


def drawn(seed: int) -> list[Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=stream) for shape in SHAPES]


# The matrices


def numpy_pooled(features: Array) -> Array:
    """Max-pool windows of 2 x 2, those at the end of an odd side are smaller: [B, C, H, W]."""
    rows, columns = range(0, features.shape[2], 2), range(0, features.shape[3], 2)
    return np.stack(
        [
            np.stack([features[:, :, i : i + 2, j : j + 2].max((2, 3)) for j in columns], -1)
            for i in rows
        ],
        -2,
    )


def numpy_matrix(first: Array, second: Array) -> Array:
    """Eq. 1, position by position: [B, C_1, C_2]."""
    first = numpy_pooled(first) if first.shape[2] > second.shape[2] else first
    batch, height, width = len(first), *first.shape[2:]
    total = np.zeros((batch, first.shape[1], second.shape[1]))
    for b in range(batch):
        for s in range(height):
            for t in range(width):
                total[b] += np.outer(first[b, :, s, t], second[b, :, s, t])
    return total / (height * width)


def numpy_loss(student: list[Array], teacher: list[Array]) -> float:
    """Eq. 2 over neighbours, each squared Frobenius norm as a mean over images and elements."""
    total = 0.0
    for i in range(len(student) - 1):
        d = numpy_matrix(*student[i : i + 2]) - numpy_matrix(*teacher[i : i + 2])
        total += (d**2).sum() / d.size
    return total


def check_by_hand() -> None:
    """One image, two positions: G = (1 x 3 + 2 x 4) / 2 = 5.5; the other's is (0 + 5) / 2."""
    first, second = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    other = torch.tensor([0.0, 1.0]), torch.tensor([9.0, 5.0])
    student = [part.view(1, 1, 1, 2) for part in (first, second)]
    teacher = [part.view(1, 1, 1, 2) for part in other]
    assert fsp.fsp_matrix(*student).item() == pytest.approx(5.5)
    assert fsp.fsp_loss(student, teacher).item() == pytest.approx(9.0)


def check_formula() -> None:
    student, teacher = drawn(0), drawn(1)
    expected = numpy_loss([array(f) for f in student], [array(f) for f in teacher])
    assert fsp.fsp_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_the_mean_square_of_three_differences() -> None:
    check_by_hand()
    check_formula()


@pytest.mark.parametrize("side", [(4, 4), (5, 5), (9, 6)])
def test_the_larger_map_is_max_pooled_to_what_a_stride_of_2_leaves(side: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *side, generator=torch.Generator().manual_seed(2))
    pooled = fsp.max_pooled(features)
    assert array(pooled) == pytest.approx(numpy_pooled(array(features)))
    strided = F.conv2d(features, torch.ones(1, 3, 3, 3), stride=2, padding=1)
    assert pooled.shape[2:] == strided.shape[2:]


def test_each_maximum_takes_the_gradient_of_its_window() -> None:
    features = torch.tensor([[[[1.0, 5.0, 2.0], [3.0, 4.0, -1.0], [-2.0, -3.0, -4.0]]]])
    features.requires_grad_()
    fsp.max_pooled(features).sum().backward()
    assert features.grad is not None
    assert features.grad[0, 0].tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1]]


def test_channels_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the student has 6 channels where the teacher has 3"):
        fsp.fsp_loss([f.repeat(1, 2, 1, 1) for f in drawn(0)], drawn(1))


# The two runs


def check_hint() -> None:
    """Stem with stage 1, stage 1 with 2, 2 with 3: matrices of 16 x 16, 16 x 32, 32 x 64."""
    objective, (teacher,) = an_objective(HINT, 1)
    objective.train()
    batch = a_batch()
    with torch.no_grad():
        student = [array(f) for f in objective.student(batch.x).features[:4]]
        taught = [array(f) for f in teacher.eval()(batch.x).features[:4]]
    assert [numpy_matrix(*student[i : i + 2]).shape for i in range(3)] == [
        (BATCH, 16, 16), (BATCH, 16, 32), (BATCH, 32, 64),
    ]  # fmt: skip
    step = objective(batch, 0.0)
    assert step.terms.keys() == {"fsp"}
    assert step.loss.item() == pytest.approx(numpy_loss(student, taught), rel=1e-4)


def test_the_hint_run_compares_stem_and_stages_and_nothing_else() -> None:
    check_hint()


def check_hint_moves() -> None:
    objective, _ = an_objective(HINT, 1)
    before = kept(objective)
    two_adam_steps(objective)
    after = objective.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    own = {name for name in before if name.startswith("student.")}
    assert changed == {name for name in own if ".linear." not in name}
    trained = [name for name, p in objective.named_parameters() if p.requires_grad]
    assert not any(".linear." in name for name in trained)


def test_the_hint_run_moves_all_of_the_student_but_its_classifier() -> None:
    check_hint_moves()


def check_teacher_stays() -> None:
    objective, (teacher,) = an_objective(HINT, 1)
    before = kept(teacher)
    two_adam_steps(objective)
    assert not moved(before, dict(objective.nets())["teacher-1"])


def test_the_teacher_stays_as_it_was_with_its_statistics() -> None:
    check_teacher_stays()


def test_the_main_run_is_cross_entropy_without_a_teacher() -> None:
    objective, teachers = an_objective(MAIN)
    batch = a_batch()
    with torch.no_grad():
        z = array(objective.student(batch.x).logits)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    terms = objective(batch, 0.7).terms
    assert terms.keys() == {"ce_student"}
    ce = -log_p[np.arange(BATCH), batch.y.numpy()].mean()
    assert terms["ce_student"].item() == pytest.approx(ce, rel=1e-5)
    assert teachers == []
    before = kept(objective)
    two_adam_steps(objective)
    after = objective.state_dict()
    assert not any(torch.equal(value, after[name]) for name, value in before.items())


def test_several_branches_are_refused_with_the_reason() -> None:
    cell = ("data.name=cifar10", "method.name=fsp", "teachers=T3")
    assert derived(*cell).method == MAIN
    with pytest.raises(FieldError, match=r"3 times as many channels .* student\.branches is 1"):
        derived(*cell, "student.branches=3")


# What public code got wrong


def per_column(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    matrices = [[fsp.fsp_matrix(*net[i : i + 2]) for i in range(3)] for net in (student, teacher)]
    return torch.stack([(s - t).norm(dim=1).mean() for s, t in zip(*matrices, strict=True)]).sum()


def without_positions(first: Tensor, second: Tensor) -> Tensor:
    first = fsp.max_pooled(first) if first.shape[2] > second.shape[2] else first
    return first.flatten(2) @ second.flatten(2).mT


MUTANTS: dict[str, tuple[str, object, Callable[[], None]]] = {
    "a norm per column": ("fsp_loss", per_column, check_formula),
    "a sum over elements": ("fsp_loss", lambda s, t: 2 * BATCH * CORRECT(s, t), check_hint),
    "not divided by positions": ("fsp_matrix", without_positions, check_by_hand),
    "mean-pooled": ("max_pooled", lambda f: F.avg_pool2d(f, 2), check_formula),
    "every second pixel": ("max_pooled", lambda f: f[:, :, ::2, ::2], check_formula),
    "without the stem": ("MAPS", slice(1, 4), check_hint),
    "losses rebuilt": ("fsp_loss", lambda s, t: torch.tensor(CORRECT(s, t).item()).requires_grad_(),
                       check_hint_moves),
    "teacher trained": ("frozen", copied, check_teacher_stays),
}  # fmt: skip
CORRECT = fsp.fsp_loss


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_that_others_made_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, wrong, check = MUTANTS[name]
    check()
    monkeypatch.setattr(fsp, attribute, wrong)
    with pytest.raises(AssertionError):
        check()
