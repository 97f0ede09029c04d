"""How a search is put into words, on the page and in the text alike."""

from __future__ import annotations

from collections.abc import Iterable

from ekd.report.searched.model import Again, Search
from ekd.report.wording import percent, signed
from ekd.sweep.facts import BEST_PART, State, Trial, Value

STATES: dict[State, str] = {
    "COMPLETE": "completed",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
NOT_RUN = "not run yet"
PED_ANOVA = (
    "PED-ANOVA asks which fields set the best {part:.0f} % of the trials (here {best}) apart from "
    "the rest. A TPE search gathers its trials where it found good ones, so over its history "
    "PED-ANOVA overrates fields, even some without any effect."
)
FANOVA = (
    "fANOVA fits a random forest to accuracy and gives the part of its variance that each field "
    "explains alone. Trust an order where the two agree."
)
LUCK = (
    "The best of many trials is in part the luckiest: training it again from other seeds shows how "
    "much of its lead stays. Chosen is the one with the best mean over all its seeds."
)
UNSEEN = "The search never looks at the test images; they are read once, for the chosen trial."


def explained(search: Search) -> tuple[str, str]:
    """Say what the two importances mean, for this search."""
    given = search.facts.importances
    return PED_ANOVA.format(part=100 * BEST_PART, best=counted(given.best, "trial")), FANOVA


def counted(count: int, noun: str) -> str:
    """Write a count and its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def points(fraction: float) -> str:
    """Write a difference of accuracies in percentage points; no zero has a minus."""
    return signed(round(100 * fraction, 2) + 0.0)


def value_words(value: Value) -> str:
    """Write a field's value, numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def states_words(search: Search) -> str:
    """Count the trials by state."""
    parts = [f"{search.states[state]} {word}" for state, word in STATES.items()
             if state in search.states]  # fmt: skip
    return ", ".join(parts) or "none yet"


def hours_words(hours: float) -> str:
    """Write a length of time with three digits, in the unit that fits."""
    for unit, size in (("h", 1.0), ("min", 60.0)):
        if hours * size >= 1:
            return f"{hours * size:.3g} {unit}"
    return f"{hours * 3600:.3g} s"


def time_words(search: Search) -> str:
    """Say what the trials trained, and within what time."""
    trained, wall = hours_words(search.hours), hours_words(search.wall_hours)
    return f"{trained} of training, from first start to last event {wall}"


def ordinal(number: int) -> str:
    """Write 1st, 2nd, 3rd, 4th, 11th."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    ending = "th" if number % 100 in (11, 12, 13) else endings.get(number % 10, "th")
    return f"{number}{ending}"


def best_words(search: Search) -> str:
    """Name the best trial."""
    best = search.best
    if best is None:
        return "No trial is completed yet." if search.under_way else "No trial is completed."
    of = counted(len(search.ranked), "completed trial")
    return f"Trial {best.number} is the best of {of}: {percent(best.values[0])} % on the hold-out."


def paper_words(search: Search) -> str:
    """Say where the paper's point ranks."""
    paper, rank, best = search.paper, search.paper_rank, search.best
    if paper is None:
        named = "is not tried yet" if search.paper_point else "is no part of this search"
        return f"The paper's point {named}."
    if rank is None or paper.value is None or best is None:
        return f"The paper's point, trial {paper.number}, has no accuracy: it is {state(paper)}."
    ties = search.paper_ties
    tied = f", level with {counted(ties, 'other')}" if ties else ""
    behind = 100 * (best.values[0] - paper.value)
    place = (
        f"ranks {ordinal(rank)} of {len(search.ranked)}{tied}: {percent(paper.value)} %"
        if len(search.ranked) > 1
        else f"is the only one completed: {percent(paper.value)} %"
    )
    lead = f", {behind:.2f} points behind the best" if rank > 1 else ""
    front = ""
    if search.two:
        front = f" It is {'' if paper in search.front else 'not '}on the Pareto front."
    return f"The paper's point, trial {paper.number}, {place}{lead}.{front}"


def state(trial: Trial) -> str:
    """Write the state of a trial."""
    return STATES[trial.state]


def failure_words(search: Search, trial: Trial) -> str:
    """Say why a trial failed, and which has its point now."""
    again = search.retried_as(trial)
    tried = "" if again is None else f" (tried again as trial {again})"
    return (trial.failure or "it did not say why").rstrip() + tried


def again_words(one: Again) -> str:
    """Say what the re-runs of a trial give beside its own accuracy."""
    if one.luck is None:
        return NOT_RUN
    missing = len(one.reruns) - len(one.fresh)
    lacking = f"; {counted(missing, 'seed')} {NOT_RUN}" if missing else ""
    fresh = one.trial.values[0] - one.luck
    return (
        f"{percent(fresh)} % over {counted(len(one.fresh), 'fresh seed')} "
        f"({points(-one.luck)} points){lacking}"
    )


def test_words(search: Search) -> str:
    """Say what the chosen trial gives on the test images."""
    found = search.test
    if found is None:
        late = search.under_way or search.again
        return f"{NOT_RUN}: it comes last, once all else is done" if late else NOT_RUN
    over = f", means over {len(found.runs)} seeds" if len(found.runs) > 1 else ""
    return (
        f"{percent(found.accuracy)} % for trial {found.number}, beside {percent(found.holdout)} % "
        f"on the hold-out (gap {points(found.gap)} points{over})"
    )


def trial_words(trial: Trial) -> str:
    """Say in one line what a trial is."""
    accuracy = f", {percent(trial.values[0])} %" if trial.value is not None else f", {state(trial)}"
    point = ", ".join(f"{field.rpartition('.')[2]} {value_words(value)}"
                      for field, value in trial.params.items())  # fmt: skip
    return f"trial {trial.number}{named(trial)}{accuracy}" + (f"; {point}" if point else "")


def named(trial: Trial) -> str:
    """Write a trial's label in brackets, where it has one."""
    return f" ({trial.label})" if trial.label else ""


def torn_words() -> str:
    """Say that the journal is not whole."""
    return (
        "The last line of the journal is not whole (a worker is writing, or was stopped in the "
        "middle): what stands before it is shown; the next search repairs the file."
    )


def joined(numbers: Iterable[int]) -> str:
    """List trial numbers."""
    return ", ".join(map(str, numbers))
