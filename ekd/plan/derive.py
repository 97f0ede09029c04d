"""From a cell's fields to its run: named teachers become runs, a method adds its chain."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from ekd import data
from ekd.methods import Method, discover
from ekd.plan.settle import settled
from ekd.spec import Data, EnvironmentProblem, MethodFields, Model, Parent, Run, SpecError
from ekd.spec.fields import Values
from ekd.spec.resolve import FieldError, improver_of, resolve, teachers_of

TEACHER_METHOD = "plain"

T = TypeVar("T")


def derive(values: Values, seed: int, data_root: Path) -> Run:
    """Resolve the fields of a cell to the run of one seed, with everything it is taught by.

    Raises FieldError for wrong fields and for what the method refuses, SpecError where the
    method's own code fails, EnvironmentProblem where custom data cannot be read.
    """
    run = resolve(values, seed, discover())
    run = run.model_copy(update={"data": _identified(run.data, data_root)})
    return completed(run, teachers_of(values), improver_of(values, discover()))


def completed(run: Run, archs: tuple[str, ...], improver: MethodFields | None = None) -> Run:
    """Give a run its teachers, by architecture, and what its method puts before it.

    The teachers are trained alone, or with an `improver` are those that its run, of the same
    student, leaves: a method that trains its teachers changes them.
    Raises FieldError for what the method refuses, SpecError where its own code fails.
    """
    run = _with_teachers(run, archs)
    if improver and run.teachers:
        run = run.model_copy(update={"teachers": _improved(run, archs, improver)})
    method = cast(Method, run.method)
    run = _asked(method, "chain", lambda: settled(method.chain(run)))
    reason = _asked(method, "refuses", lambda: cast(Method, run.method).refuses(run))
    if reason:
        raise FieldError("method", reason)
    return run


def _identified(source: Data, data_root: Path) -> Data:
    """Put the fingerprint of custom data in; named data stay unopened."""
    if not source.path:
        return source
    found = _fingerprint(source.path, data_root)
    if source.fingerprint not in ("", found):
        raise EnvironmentProblem(
            f"{source.path} has the fingerprint {found}, the spec names {source.fingerprint}: give "
            "the data that the spec means, or take data.fingerprint out"
        )
    _described(source, data_root)
    return source.model_copy(update={"fingerprint": found})


@cache
def _described(source: Data, data_root: Path) -> data.Description:
    """Cut hold-out and fraction, so that what leaves a class without an image is told before."""
    return data.describe(source, data_root)


@cache
def _fingerprint(path: str, data_root: Path) -> str:
    return data.fingerprint(Data.model_validate({"path": path}), data_root)


def _with_teachers(run: Run, archs: tuple[str, ...]) -> Run:
    method, name = cast(Method, run.method), run.method.name()
    count = _asked(method, "teacher_count", lambda: method.teacher_count(run))
    if count == 0:
        if archs and type(method).teacher_count is Method.teacher_count:
            raise FieldError("teachers", f"{name} does not say that it takes any: teacher_count()")
        archs = ()
    elif not archs:
        raise FieldError("teachers", f"{name} needs teachers, such as teachers = 'T1'")
    elif count is not None and len(archs) != count:
        raise FieldError(
            "teachers",
            f"{name} with student.branches = {run.student.branches} takes {count}, "
            f"not {len(archs)} ({', '.join(archs)})",
        )
    twice = next((arch for arch in archs if archs.count(arch) > 1), None)
    if twice:
        raise FieldError("teachers", f"{twice} stands twice, but would be one and the same run")
    teachers = tuple(Parent(run=_teacher(run, arch)) for arch in archs)
    return run.model_copy(update={"teachers": teachers})


def _improved(run: Run, archs: tuple[str, ...], improver: MethodFields) -> tuple[Parent, ...]:
    """Train the teachers first in a run of the same student with another method."""
    name = improver.name()
    if not cast(Method, improver).trains_teachers():
        told = f"{name} leaves its teachers as they are: name a method that trains them"
        raise FieldError("teachers_from.name", told)
    donor = completed(run.model_copy(update={"method": improver, "teachers": ()}), archs)
    return tuple(Parent(run=donor, net=f"teacher-{n}") for n in range(1, 1 + len(archs)))


def _teacher(run: Run, arch: str) -> Run:
    """Make the run of a teacher: the same data, recipe and seed, trained on the labels alone."""
    changes: dict[str, Any] = {"teacher_data": "subset"}
    if run.data.teacher_data == "full":
        changes["fraction"] = 1.0
    return settled(
        Run(
            student=Model(arch=arch),
            data=run.data.model_copy(update=changes),
            method=discover()[TEACHER_METHOD](),
            recipe=run.recipe,
            seed=run.seed,
        )
    )


def _asked(method: Method, hook: str, ask: Callable[[], T]) -> T:
    """Ask a hook of a method, and name its file where it fails."""
    try:
        return ask()
    except (Exception, SystemExit) as error:
        raise SpecError(
            f"ekd/methods/{method.name()}.py: {hook}() failed with {error!r}: mend it"
        ) from error
