"""What a run is: frozen, strictly validated values, and the key that they hash to."""

from __future__ import annotations

import hashlib
import json
import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializeAsAny, model_validator

from ekd.spec.errors import nearest

NUMERICS = 1
"""Bumped by hand whenever the numbers that a run yields change: every key changes with it."""

KEY_DIGITS = 16
SMALLEST_DEPTH, DEPTH_STEP, LARGEST_DEPTH = 8, 6, 1202


class Frozen(BaseModel):
    """A value object: unknown fields, wrong types and later changes are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        ignored_types=(cached_property,),
    )


def added_later(neutral: Any, **constraints: Any) -> Any:
    """Declare a field that older keys did not have: at `neutral` it is left out of the key."""
    return Field(neutral, json_schema_extra={"neutral": neutral}, **constraints)


@dataclass(frozen=True)
class Known:
    """What is known of a named data set without opening it (sizes in images)."""

    title: str
    classes: int
    train: int
    test: int
    resolution: int = 32
    augment: str = "crop-flip"


KNOWN = {
    "digits": Known("digits", 10, 1000, 797, resolution=16, augment="crop"),
    "cifar10": Known("CIFAR-10", 10, 50_000, 10_000),
    "cifar100": Known("CIFAR-100", 100, 50_000, 10_000),
    "tiny-imagenet": Known("Tiny ImageNet", 200, 100_000, 10_000),
}

Fraction = Annotated[float, Field(gt=0, le=1)]


def depth_of(arch: str) -> int:
    """Give the depth of "resnet<6n+2>", 1 <= n <= 200; ValueError names the nearest ones."""
    match = re.fullmatch(r"resnet([1-9][0-9]*)", arch)
    depth = int(match[1][:9]) if match else 0
    named = f"unknown architecture {reprlib.repr(arch)}"
    if depth > LARGEST_DEPTH:
        raise ValueError(f"{named}: the deepest is resnet{LARGEST_DEPTH}")
    if depth < SMALLEST_DEPTH or (depth - 2) % DEPTH_STEP:
        below = max(SMALLEST_DEPTH, (depth - 2) // DEPTH_STEP * DEPTH_STEP + 2)
        raise ValueError(
            f"{named}: expected resnet with depth 6n+2, the nearest are resnet{below} and "
            f"resnet{below + DEPTH_STEP}"
        )
    return depth


def _known(arch: str) -> str:
    depth_of(arch)
    return arch


Architecture = Annotated[str, AfterValidator(_known)]
"""The name of a network that `depth_of` takes."""


class Data(Frozen):
    """The images that a run sees."""

    name: str = ""
    """A known data set: digits, cifar10, cifar100 or tiny-imagenet; or give `path`."""
    path: str = ""
    """A folder of images (train/<class>/*, test/<class>/*) or an .npz with MedMNIST keys."""
    fingerprint: str = ""
    """Content hash of the data at `path`; filled in, and checked where it is given."""
    resolution: int = Field(ge=8, le=512)
    """Side of the square images in pixels. The paper's FLOPs column implies 32 for all its sets
    (Sec. 4.3 says 64); 16 for digits."""
    augment: Literal["none", "flip", "crop", "crop-flip"]
    """Pad 4 and crop, and flip: the paper is silent, its 87.51 of ResNet8 needs both. Digits are
    not flipped."""
    holdout: float = Field(0.0, ge=0, le=0.5)
    """Part of the training images cut off for tuning. 0 reproduces the paper, which had none."""
    fraction: Fraction = 1.0
    """Part of the (remaining) training images that is used (Sec. 5.3)."""
    sampling: Literal["stratified", "iid"] = "stratified"
    """How the fraction is drawn; the paper is silent, stratified keeps every class."""
    subset_seed: int = Field(0, ge=0)
    """Seed of hold-out and fraction, apart from the run's, so that all seeds see one subset."""
    teacher_data: Literal["subset", "full"] = "subset"
    """What the teachers were trained on where `fraction` < 1: Sec. 5.3 says the same subset, its
    +31.6 points over the best teacher look like the full set."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_source(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name, path = values.get("name", ""), values.get("path", "")
        if bool(name) == bool(path):
            raise ValueError("give one of `name` (a known data set) and `path` (your own)")
        if name and (not isinstance(name, str) or name not in KNOWN):
            hint = nearest(str(name), KNOWN)
            known = ", ".join(KNOWN)
            raise ValueError(
                f"unknown data set {name!r}{hint}; known are {known}; your own is data.path"
            )
        if name and values.get("fingerprint"):
            raise ValueError("`fingerprint` is of the data at `path`: take it out")
        known_set = KNOWN[name] if name else Known("", 0, 0, 0)
        return {"resolution": known_set.resolution, "augment": known_set.augment} | values


class Model(Frozen):
    """A network of one or more parallel branches (CompNet, Sec. 3.1)."""

    arch: Architecture = "resnet8"
    """Architecture of every branch, a CIFAR ResNet of depth 6n+2; Sec. 4.1 takes ResNet8."""
    branches: int = Field(1, ge=1, le=64)
    """Ensemble size (ES)."""
    width: int = added_later(16, ge=8, le=1024)
    """Channels of the first of each branch's three stages; the next have two and four times as
    many. The paper's networks, its teachers too, have 16. With fewer than 8, torch's convolutions
    on the CPU write beyond their memory (2.14, channels last)."""
    combine: Literal["sum", "mean", "probability"] = "sum"
    """How branches make one output, teachers alike: the sum of logits (Eq. 2 and 3), their mean,
    or the mean of the probabilities (a deep ensemble)."""


class Recipe(Frozen):
    """How a network is trained (Sec. 4.2). The named recipes stand in experiments/recipes.toml."""

    epochs: int = Field(ge=1, le=100_000)
    """Passes over the training images."""
    budget: Literal["epochs", "steps"] = "epochs"
    """At a fraction of the data: as many epochs, or as many steps as the full set would take."""
    batch_size: int = Field(ge=2, le=1_000_000)
    """Images per step; a last batch of one image is left out (BatchNorm needs two)."""
    optimizer: Literal["adam", "adamw", "sgd"]
    """Sec. 4.2: Adam, whose decay is L2 coupled with the gradient; adamw decouples it."""
    lr: float = Field(gt=0)
    """Learning rate at the start."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD; Adam's betas are 0.9 and 0.999."""
    nesterov: bool = False
    """Nesterov momentum for SGD."""
    weight_decay: float = Field(ge=0)
    """L2 coefficient."""
    decay_norm_and_bias: bool = True
    """Decay BatchNorm and biases too; Sec. 4.2: "on the weights and biases"."""
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Parts of the epochs after which the learning rate drops."""
    lr_factor: float = Field(0.1, gt=0, le=1)
    """What the learning rate is multiplied by at each milestone."""
    init: Literal["gaussian", "kaiming"] = "gaussian"
    """Sec. 4.2: weights from N(0, 0.01), biases 0; or Kaiming's."""
    batchnorm_splits: int = Field(1, ge=1, le=8)
    """Parts of a batch with BatchNorm statistics of their own: 2 is DataParallel on two GPUs."""
    selection: Literal["last", "best"] = "last"
    """Weights that count: the last epoch's, or the best evaluation's (leaky without hold-out)."""
    evaluations: int = Field(20, ge=1, le=100_000)
    """At how many epochs, evenly spread and the last among them, the student is evaluated."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.optimizer == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class MethodFields(Frozen):
    """What spec must know of a method's hyper-parameters; the contract is in ekd.methods."""

    numerics: ClassVar[int] = 1
    """Bumped by hand when the method's own numbers change: only the keys of its runs change."""
    readings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of fields, chosen by `readings.name`; the first is what the defaults say."""

    @classmethod
    def name(cls) -> str:
        """Name the method after its file."""
        return cls.__module__.rpartition(".")[2]


class Parent(Frozen):
    """A finished run's network: `student`, or `teacher-1`, ... where that run trained teachers."""

    run: Run
    net: Annotated[str, Field(pattern=r"^(student|teacher-[1-9][0-9]*)$")] = "student"


class Run(Frozen):
    """One training, resolved: everything that its numbers depend on."""

    student: Model
    data: Data
    method: SerializeAsAny[MethodFields]
    recipe: Recipe
    seed: int = Field(ge=0)
    teachers: tuple[Parent, ...] = ()
    start: Parent | None = None

    @cached_property
    def key(self) -> str:
        """Identity of the run: the first 16 hex digits of sha256 over its canonical JSON."""
        return _digest(self._identity("key"))

    @cached_property
    def group(self) -> str:
        """The key without any seed: what runs that differ only in seeds share."""
        return _digest(self._identity("group"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with other values; the key is worked out anew."""
        copy = super().model_copy(update=update, deep=deep)
        for cached in ("key", "group"):
            copy.__dict__.pop(cached, None)
        return copy

    @property
    def epochs(self) -> int:
        """Epochs over the images used; `budget = "steps"` makes up for a smaller set."""
        whole = self.recipe.budget == "epochs"
        return self.recipe.epochs if whole else math.ceil(self.recipe.epochs / self.data.fraction)

    def parents(self) -> tuple[Parent, ...]:
        """Give all runs that must be finished before this one."""
        return self.teachers + ((self.start,) if self.start else ())

    def resolved(self) -> dict[str, Any]:
        """Give the run as plain JSON values, parents by key: the content of spec.json."""
        method = {"name": self.method.name(), **self.method.model_dump(mode="json")}
        return {
            "student": self.student.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json"),
            "method": method,
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "teachers": [_reference(parent, "key") for parent in self.teachers],
            "start": _reference(self.start, "key") if self.start else None,
        }

    def _identity(self, kind: Literal["key", "group"]) -> dict[str, Any]:
        parts = {
            part: _without_neutral(getattr(self, part))
            for part in ("student", "data", "method", "recipe")
        }
        parts["data"].pop("path")
        parts["method"]["name"] = self.method.name()
        if self.method.numerics > 1:
            parts["method"]["numerics"] = self.method.numerics
        teachers = [_reference(parent, kind) for parent in self.teachers]
        start = _reference(self.start, kind) if self.start else None
        identity = {"numerics": NUMERICS, **parts, "teachers": teachers, "start": start}
        return identity | ({"seed": self.seed} if kind == "key" else {})


def _reference(parent: Parent, kind: Literal["key", "group"]) -> dict[str, str]:
    return {"run": getattr(parent.run, kind), "net": parent.net}


def _without_neutral(value: Frozen) -> dict[str, Any]:
    kept: dict[str, Any] = value.model_dump(mode="json")
    for field, info in type(value).model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and "neutral" in extra and kept[field] == extra["neutral"]:
            del kept[field]
    return kept


def _digest(identity: dict[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


Parent.model_rebuild()
