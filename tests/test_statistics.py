"""The intervals of the report against closed forms."""

from __future__ import annotations

import math
import random

import pytest

from ekd.report.statistics import Interval, student_interval, wilson_interval


def test_two_values_use_the_cauchy_quantile() -> None:
    # t with 1 degree of freedom is Cauchy: t = tan(pi (0.975 - 0.5)); s / sqrt(2) = |a - b| / 2
    found = student_interval([90.0, 92.0])
    half = math.tan(math.pi * 0.475) * 1.0
    assert (found.low, found.high) == pytest.approx((91 - half, 91 + half))
    assert found.half_width == pytest.approx(12.7062047)


def test_three_values_use_the_closed_form_of_two_degrees_of_freedom() -> None:
    # t with 2 degrees of freedom: t = a / sqrt(2 p (1 - p)), a = 2 p - 1, at p = 0.975
    found = student_interval([1.0, 2.0, 3.0])
    quantile = 0.95 / math.sqrt(2 * 0.975 * 0.025)
    assert found.half_width == pytest.approx(quantile / math.sqrt(3))
    assert (found.low + found.high) / 2 == pytest.approx(2.0)


def test_equal_values_leave_no_width() -> None:
    assert student_interval([5.0, 5.0, 5.0]) == Interval(5.0, 5.0)


def test_one_value_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        student_interval([1.0])


def test_the_student_interval_covers_as_often_as_it_says() -> None:
    draws = random.Random(3)
    hits = sum(
        student_interval([draws.gauss(7, 2) for _ in range(4)]).holds(7) for _ in range(2000)
    )
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (10, 10), (45, 50), (7123, 10_000)])
def test_wilson_bounds_solve_the_score_equation(hits: int, trials: int) -> None:
    # The bounds p are where (share - p)^2 = z^2 p (1 - p) / n.
    z = 1.959963984540054
    found = wilson_interval(hits, trials)
    for bound in (found.low, found.high):
        left = (hits / trials - bound) ** 2
        assert left == pytest.approx(z**2 * bound * (1 - bound) / trials, abs=1e-12)
    assert found.holds(hits / trials, margin=1e-12)


def test_wilson_at_no_hits_is_known() -> None:
    found = wilson_interval(0, 10)
    assert found.low == 0
    assert found.high == pytest.approx(1.959963984540054**2 / (10 + 1.959963984540054**2))


def test_wilson_refuses_what_is_no_proportion() -> None:
    for hits, trials in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson_interval(hits, trials)


def test_an_interval_is_widened_on_both_sides() -> None:
    interval = Interval(90.0, 91.0)
    assert interval.holds(89.5, 0.5)
    assert interval.holds(91.5, 0.5)
    assert not interval.holds(91.51, 0.5)
    assert not interval.holds(89.49, 0.5)


def test_an_interval_is_not_cut_to_the_range_of_accuracies() -> None:
    found = student_interval([90.0, 99.0])  # 94.5 ± 12.7062 * 4.5
    assert found.high == pytest.approx(94.5 + 12.7062047 * 4.5)
    assert not found.within(0, 100)
    assert Interval(0.0, 100.0).within(0, 100)
    assert not Interval(-0.1, 50.0).within(0, 100)
