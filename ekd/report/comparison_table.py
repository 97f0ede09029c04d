"""The rows of a column compared over seeds, as a table of plain texts and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ekd.report.comparisons import Comparison, Gain, Outlook, Standing
from ekd.report.model import Section
from ekd.report.text_table import Line, Text
from ekd.report.wording import Head, gained, number, one_line, p_value, ranks, signed

OWN = ("mean", "n", "possible ranks")
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class ComparisonTable:
    """One compared column of a section, its rows by their mean, the highest first."""

    section: Section
    column: int
    compact: bool = False
    """The interval is a half width behind the difference, and has no column of its own."""

    @property
    def heading(self) -> str:
        """The column's label on one line."""
        return one_line(", ".join(self.section.sheet.grid.columns[self.column].lines))

    @property
    def corner(self) -> str:
        """Say what the rows are."""
        return one_line(self.section.sheet.grid.exhibit.rows_are)

    @property
    def heads(self) -> list[list[Head]]:
        """The two lines of the head; one where there is no row to compare with."""
        if not self._over:
            return [[Head((text,), 1, 1) for text in OWN]]
        groups = [Head((f"over {label}",), len(self._parts), 1) for label in self._over]
        own = [Head((text,), 1, 2) for text in OWN]
        return [own + groups, [Head((part,), 1, 1) for _ in self._over for part in self._parts]]

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of all columns but the first, a line each."""
        parts = [f"{part} over {label}" for label in self._over for part in self._parts]
        return (*OWN, *parts)

    @property
    def starts(self) -> range:
        """Number the columns, after the labels', at which those for one row begin."""
        return range(len(OWN), len(self.columns), len(self._parts))

    @cached_property
    def rows(self) -> tuple[tuple[Line, ...], ...]:
        """A line per row; none where no two rows have two seeds in common: nothing is tested."""
        standings = self._comparison.standings if self._comparison.most > 1 else ()
        return tuple((Line(self._label(s.row), tuple(self._texts(s))),) for s in standings)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Say whether the ranking can be told, and what it would take."""
        comparison = self._comparison
        said = (verdict(comparison), *self._remarks())
        outlook = comparison.outlook
        return said if outlook is None else (*said, self._prospect(outlook))

    @property
    def _comparison(self) -> Comparison:
        return self.section.comparisons[self.column]

    @property
    def _over(self) -> tuple[str, ...]:
        gains = [gain for standing in self._comparison.standings for gain in standing.gains]
        asked = dict.fromkeys(gain.over for gain in gains)
        return tuple(label for label in self.section.over.values() if label in asked)

    @property
    def _parts(self) -> tuple[str, ...]:
        return (
            ("difference", "p (Holm)")
            if self.compact
            else ("difference", "95 % interval", "p (Holm)")
        )

    def _label(self, row: int) -> str:
        return one_line(", ".join(self.section.sheet.grid.rows[row].lines))

    def _texts(self, standing: Standing) -> Iterator[Text]:
        yield from map(Text, (number(standing.mean), str(standing.n), ranks(standing)))
        by_row = {gain.over: gain for gain in standing.gains}
        for label in self._over:
            gain = by_row.get(label)
            texts = [NOTHING] * len(self._parts) if gain is None else self._gain(gain, standing.n)
            yield from map(Text, texts)

    def _gain(self, gain: Gain, own: int) -> list[str]:
        if gain.same:
            return ["same run", *[NOTHING] * (len(self._parts) - 1)]
        fewer = "" if gain.n == own else f" ({gain.n})"
        p = NOTHING if gain.p_holm is None else p_value(gain.p_holm)
        if self.compact:
            return [gained(gain) + fewer, p]
        low_high = gain.interval
        between = f"{signed(low_high.low)} to {signed(low_high.high)}" if low_high else NOTHING
        return [gained(gain, alone=True) + fewer, between, p]

    def _remarks(self) -> Iterator[str]:
        gains = [gain for standing in self._comparison.standings for gain in standing.gains]
        if any(gain.n > 1 and gain.interval is None and not gain.same for gain in gains):
            yield (
                "A difference without an interval at n \N{GREATER-THAN OR EQUAL TO} 2 is the same "
                "on every seed: it has no spread to be tested against, and is not told apart."
            )

    def _prospect(self, outlook: Outlook) -> str:
        seeds = "n > 1000" if outlook.seeds is None else f"n = {outlook.seeds}"
        return (
            f"Were their mean difference and its spread the true ones, it would take {seeds} to "
            f"tell {self._label(outlook.row)} from {one_line(outlook.over)} (one test at 5 %, "
            "80 % power); that is optimistic, for the best row was chosen after the fact."
        )


def verdict(comparison: Comparison) -> str:
    """Say in a sentence how many pairs can be told apart, and so whether the ranking can."""
    fewest, most, told, pairs = (
        comparison.fewest, comparison.most, comparison.told, comparison.pairs,
    )  # fmt: skip
    if not pairs:
        return "All rows are one and the same run: there is nothing to tell apart."
    if most < 2:
        why = "one seed has no spread" if most else "no two rows have a seed in common"
        return f"At n = {most} nothing is tested: {why}, and the ranking cannot be told."
    n = str(most) if fewest == most else f"{fewest} to {most}"
    ranking = (
        "can be told" if told == pairs else "can be told in part" if told else "cannot be told"
    )
    counted = f"{told} of {pairs} pair{'' if pairs == 1 else 's'}"
    return f"At n = {n}, {counted} can be told apart: the ranking {ranking}."


def comparison_tables(section: Section, compact: bool = False) -> list[ComparisonTable]:
    """Give a table per compared column of a section."""
    return [ComparisonTable(section, column, compact) for column in section.comparisons]


def method(section: Section) -> list[str]:
    """Say how rows were compared, and what the tests assume; nothing where nothing is tested."""
    if not any(table.rows for table in comparison_tables(section)):
        return []
    over = " and ".join(map(one_line, section.over.values()))
    return [
        "Paired t-tests over the seeds that both rows have (their number in brackets, where the "
        "row itself has more) and 95 % Student intervals, each for itself, both for normal "
        f"differences; p after Holm (1979) over a column's comparisons with {over}; pairs and "
        "possible ranks after Holm over all pairs of a column, at 5 %.",
        "Seeds vary initialisation, data order, augmentation and teachers, and neither the test "
        "images nor the subset that is trained on.",
    ]
