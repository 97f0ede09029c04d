"""A source of images becomes uint8 tensors: hold-out, nested fraction, augmentation."""

from ekd.data.augment import augment
from ekd.data.batches import normalise, order
from ekd.data.splits import Description, Split, Splits, describe, fingerprint, load

__all__ = [
    "Description",
    "Split",
    "Splits",
    "augment",
    "describe",
    "fingerprint",
    "load",
    "normalise",
    "order",
]
