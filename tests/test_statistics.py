"""The intervals of the report against closed forms."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from ekd.report.statistics import (
    Interval,
    holm,
    paired_p,
    seeds_needed,
    student_interval,
    wilson_interval,
)


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


def test_p_of_three_differences_is_the_closed_form_of_two_degrees_of_freedom() -> None:
    # Mean 2, s = 1, t = 2 sqrt(3) = 3.4641; with 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2).
    assert paired_p([1.0, 2.0, 3.0]) == pytest.approx(1 - math.sqrt(12 / 14))
    assert paired_p([-1.0, -2.0, -3.0]) == pytest.approx(1 - math.sqrt(12 / 14))


def test_p_is_what_scipy_finds_for_the_pairs() -> None:
    draws = random.Random(5)
    ours = [draws.gauss(90, 1) for _ in range(6)]
    theirs = [value - draws.gauss(0.5, 0.4) for value in ours]
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    assert paired_p(differences) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)


def test_differences_without_spread_are_not_tested() -> None:
    alike = [91.2 - 90.1, 92.2 - 91.1, 70.3 - 69.2]
    assert len(set(alike)) > 1  # rounding alone
    for differences in ([], [1.0], [0.0, 0.0], [1.5, 1.5, 1.5], alike):
        assert paired_p(differences) is None


def test_a_mean_of_zero_with_spread_is_no_evidence() -> None:
    assert paired_p([-1.0, 1.0]) == pytest.approx(1.0)


def test_holm_steps_down() -> None:
    # Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, and none is under the one before.
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({"a": 0.2}) == {"a": 0.2}
    assert holm({}) == {}


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_seeds_it_takes_are_those_of_the_power_tables(effect: float, n: int) -> None:
    # G*Power, difference between two dependent means, two-sided, 0.05, power 0.8
    assert seeds_needed(effect, 1.0) == n
    assert seeds_needed(-3 * effect, 3.0) == n


def test_a_small_effect_takes_more_seeds_than_are_looked_for() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(0.08, 1.0) is None
    assert seeds_needed(1e6, 1.0) == 2
