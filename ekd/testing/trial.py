"""Where a method is tried: made-up images, and the runs that the method can take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

from ekd.data import Split, Splits, normalise
from ekd.methods import Batch, Method
from ekd.plan import completed
from ekd.spec import Data, Model, Recipe, Run, SpecError
from ekd.streams import generator

CLASSES, SIDE = 10, 8
BATCH, TRAIN, TEST = 20, 22, 20
"""Training images make a batch of 20 and one of 2, the smallest that there is."""

TEACHERS = (("resnet8", "resnet14"), ("resnet14",), ("resnet8", "resnet14", "resnet20"), ())
"""By what a method may be taught here, one after the other."""
DEEP = ("resnet26",)
"""For a method that asks for depth."""

RECIPE = Recipe(
    epochs=3, batch_size=BATCH, optimizer="adam", lr=0.01, weight_decay=0, init="kaiming",
    evaluations=1,
)  # fmt: skip
"""Without weight decay: what gets no gradient stays bit-equal."""


def demand(kept: bool, method: Method, broken: str) -> None:
    """Raise AssertionError with the method's name and what it does wrong, unless `kept`."""
    if not kept:
        raise AssertionError(f"{method.name()}: {broken}")


@contextlib.contextmanager
def working(method: Method, what: str) -> Iterator[None]:
    """Raise AssertionError where the method's own code fails."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error, AssertionError) else None
        first = cause or error  # what an inner `working` was told
        raise AssertionError(f"{method.name()}: {what} fails with {first!r}") from first


def asked_run(method: Method, branches: int, archs: tuple[str, ...], **changes: Any) -> Run:
    """Give the run of a spec with so many branches and these teachers; SpecError if refused.

    `changes` are other fields of the student and of the recipe.
    """
    student, recipe = (
        {field: value for field, value in changes.items() if field in part.model_fields}
        for part in (Model, Recipe)
    )
    run = Run(
        student=Model(branches=branches, **student),
        data=Data(name="digits", resolution=SIDE, augment="none"),
        method=method,
        recipe=RECIPE.model_copy(update=recipe),
        seed=0,
    )
    return completed(run, archs)


def typical_run(method: Method) -> Run:
    """Give the first of a few usual runs that the method takes; AssertionError where none is."""
    reason = ""
    for branches in (2, 1, 3):
        for archs in (*TEACHERS, DEEP):
            try:
                return asked_run(method, branches, archs)
            except SpecError as error:
                reason = str(error)
    raise AssertionError(f"{method.name()}: it takes no usual run, at last because {reason}")


@cache
def images() -> Splits:
    """Make images up, each the picture of its class under noise."""
    stream = generator(0, "testing")
    pictures = torch.rand(CLASSES, SIDE, SIDE, 3, generator=stream)

    def split(size: int) -> Split:
        labels = torch.arange(size) % CLASSES
        noise = torch.rand(size, SIDE, SIDE, 3, generator=stream)
        pixels = (255 * (0.7 * pictures[labels] + 0.3 * noise)).to(torch.uint8)
        return Split(pixels, labels, torch.arange(size))

    train = split(TRAIN)
    pixels = train.images.float() / 255
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    names = tuple(str(number) for number in range(CLASSES))
    return Splits(train, None, split(TEST), names, mean, std, "made up")


def a_batch(size: int = BATCH) -> Batch:
    """Give the first batch of the images."""
    found = images()
    x = normalise(found.train.images[:size], found.mean, found.std)
    labels, index = found.train.labels[:size], found.train.index[:size]
    return Batch(x, labels, index, 0, generator(0, "testing", "noise"))
