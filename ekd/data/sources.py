"""Where the images of a run come from: a known data set, a folder, or an .npz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ekd.data.arrays import Arrays, Classes, Labels
from ekd.data.cache import cached
from ekd.data.folder import folder_fingerprint, list_folder, read_folder
from ekd.data.known import read_known
from ekd.data.npz import read_npz, read_npz_labels
from ekd.data.subsets import choose_subset, cut_holdout, holdout_size, subset_size
from ekd.spec.errors import EnvironmentProblem, SpecError
from ekd.spec.values import KNOWN, Data


@dataclass(frozen=True)
class Description:
    """Sizes: classes, training images after hold-out and fraction, and test images."""

    classes: int
    train: int
    test: int


def read(data: Data, root: Path) -> Arrays:
    """Read the whole source; its images may still have another size than `data.resolution`.

    A relative `data.path` is taken from the current folder.

    Raises:
        SpecError: where `data.path` is neither a folder nor an .npz.
        EnvironmentProblem: where the data are missing or damaged, or cannot be downloaded.
    """
    path = Path(data.path)
    if data.name:
        return read_known(data.name, root, data.resolution)
    if not is_folder(path):
        return read_npz(path)
    listing, classes = list_folder(path)
    content = folder_fingerprint(path, listing)
    name = f"{path.resolve().name}-{content}-{data.resolution}"
    return cached(
        root, name, lambda: read_folder(listing, classes, data.resolution, source=content)
    )


def describe(data: Data, root: Path) -> Description:
    """Count classes and images: of known data without opening them, else from the labels alone.

    Raises:
        SpecError: where the hold-out or the fraction of custom data leaves a class without images.
        SpecError, EnvironmentProblem: as `read`.
    """
    if data.name:
        known = KNOWN[data.name]
        rest = known.train - holdout_size(known.train, data)
        return Description(known.classes, subset_size(rest, known.classes, data), known.test)
    labels, classes = _labels_at(Path(data.path))
    train = labels["train"]
    if data.holdout and "val" not in labels:
        train = train[cut_holdout(train, classes, data)[0]]
    chosen = choose_subset(train, classes, data)
    return Description(len(classes), len(chosen), len(labels["test"]))


def fingerprint(data: Data, root: Path) -> str:
    """Hash the content of the source (16 hex digits): of an image folder its files, else arrays.

    Raises:
        SpecError, EnvironmentProblem: as `read`.
    """
    if data.path and is_folder(Path(data.path)):
        return folder_fingerprint(Path(data.path), list_folder(Path(data.path))[0])
    return read(data, root).fingerprint()


def is_folder(path: Path) -> bool:
    """Tell a folder from an .npz; SpecError, EnvironmentProblem where it is neither."""
    if not path.exists():
        raise EnvironmentProblem(f"data.path {str(path)!r} is missing (looked in {Path.cwd()})")
    if not path.is_dir() and path.suffix != ".npz":
        raise SpecError(f"data.path {str(path)!r} is neither a folder of images nor an .npz file")
    return path.is_dir()


def _labels_at(path: Path) -> tuple[dict[str, Labels], Classes]:
    if not is_folder(path):
        return read_npz_labels(path)
    listing, classes = list_folder(path)
    return {split: labels for split, (_, labels) in listing.items()}, classes
