"""A source of images becomes uint8 tensors: hold-out, nested fraction, augmentation."""

from ekd.data.augment import augment
from ekd.data.batches import normalise, order
from ekd.data.inspection import ImageCount, Inspection, inspect
from ekd.data.sources import Description, describe, fingerprint
from ekd.data.splits import Split, Splits, load

__all__ = [
    "Description",
    "ImageCount",
    "Inspection",
    "Split",
    "Splits",
    "augment",
    "describe",
    "fingerprint",
    "inspect",
    "load",
    "normalise",
    "order",
]
