"""The timeline of a search: rows, idle times, and words for times."""

from __future__ import annotations

import pytest

from ekd.report.searched.timeline import KEPT, idle, packed, shifted
from ekd.report.searched.words import hours_words, ordinal


def test_trials_that_ran_side_by_side_have_rows_of_their_own() -> None:
    assert packed([(0, 10), (0, 4), (4, 9), (9.5, 12), (10, 11)]) == [0, 1, 1, 1, 0]


def test_a_trial_of_no_length_takes_its_row() -> None:
    assert packed([(0, 0), (0, 0)]) == [0, 1]


def test_a_night_of_rest_is_cut_to_a_part_of_the_busy_time() -> None:
    (cut,) = idle([(0, 50), (20, 60), (1000, 1040)])
    assert (cut.start, cut.stop) == (60, 1000)
    assert shifted(60, [cut]) == 60
    assert shifted(1000, [cut]) == pytest.approx(60 + KEPT * 100)
    assert shifted(1040, [cut]) == pytest.approx(100 + KEPT * 100)


def test_a_short_pause_is_left_as_it_is() -> None:
    assert idle([(0, 50), (55, 100)]) == []


def test_nothing_busy_has_no_idle_time() -> None:
    assert idle([(0, 0), (100, 100)]) == []


@pytest.mark.parametrize(
    ("hours", "words"), [(2.5, "2.5 h"), (0.5, "30 min"), (0.01, "36 s"), (0.0, "0 s")]
)
def test_a_time_is_written_in_the_unit_that_fits(hours: float, words: str) -> None:
    assert hours_words(hours) == words


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (23, "23rd")],
)
def test_a_rank_is_written_as_it_is_spoken(number: int, word: str) -> None:
    assert ordinal(number) == word
