"""A study and a store, put together to what a search found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ekd.report.searched.model import Again, OnTest, Rerun, Search
from ekd.store import Store
from ekd.sweep.facts import Facts, Trial
from ekd.sweep.reading import KeyOf


def gather(facts: Facts, store: Store, key_of: KeyOf, torn: bool = False) -> Search:
    """Add to a study what the store holds: re-runs of the best trials, and one look at test.

    What the search itself kept of them stands where the store is elsewhere. Raises
    EnvironmentProblem where a finished run's result is damaged.
    """
    plain = Search(facts, (), None, torn)
    wanted = facts.about.get("again") or {}
    best = int(wanted.get("best") or 0)
    seeds = [int(seed) for seed in wanted.get("seeds") or ()] if best else []
    chosen = _distinct(plain.ranked)[: best or 1]
    kept = _kept(facts)
    again = tuple(
        Again(trial, tuple(_rerun(store, key_of, trial, seed, kept) for seed in seeds))
        for trial in chosen
    )
    test = None if plain.under_way else _test(again, facts, store)
    return Search(facts, again if seeds else (), test, torn)


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """Leave out trials that share the run of a better one."""
    return list({trial.run or trial.number: trial for trial in reversed(trials)}.values())[::-1]


def _kept(facts: Facts) -> dict[tuple[int, int], float | None]:
    return {
        (entry["trial"], seed): value
        for entry in facts.again
        for seed, value in zip(entry["seeds"], entry["values"], strict=True)
    }


def _rerun(store: Store, key_of: KeyOf, trial: Trial, seed: int,
           kept: Mapping[tuple[int, int], float | None]) -> Rerun:  # fmt: skip
    key = key_of(trial.params, seed)
    holdout = (_result(store, key) or {}).get("holdout") or {}
    return Rerun(seed, key, holdout.get("accuracy", kept.get((trial.number, seed))))


def _test(again: Sequence[Again], facts: Facts, store: Store) -> OnTest | None:
    """Look at test for the trial with the best mean, once all re-runs are done."""
    if not again or any(len(one.fresh) < len(one.reruns) for one in again):
        return None
    chosen = max(again, key=lambda one: (one.mean, one.trial.values[0]))
    number, kept = chosen.trial.number, facts.test or {}
    if kept.get("trial") == number:
        return OnTest(number, tuple(kept["runs"]), tuple(kept["tests"]), kept["holdout"])
    runs = [chosen.trial.run, *(one.run for one in chosen.reruns)]
    results = [_result(store, run) for run in runs]
    found = [result["accuracy"] for result in results if result]
    if len(found) < len(runs) or None in found:
        return None
    return OnTest(number, tuple(filter(None, runs)), tuple(found), chosen.mean)


def _result(store: Store, key: str | None) -> dict[str, Any] | None:
    try:
        return store.folder(key).result() if key else None
    except FileNotFoundError:
        return None
