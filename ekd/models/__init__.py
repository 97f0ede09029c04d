"""The networks of the paper: CIFAR ResNets, the student CompNet and the teachers' TeachNet."""

from ekd.models.ensemble import Combine, CompNet, Output, TeachNet, combined
from ekd.models.initialise import Scheme, initialise
from ekd.models.resnet import ResNet, SplitBatchNorm2d

__all__ = [
    "Combine",
    "CompNet",
    "Output",
    "ResNet",
    "Scheme",
    "SplitBatchNorm2d",
    "TeachNet",
    "combined",
    "initialise",
]
