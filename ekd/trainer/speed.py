"""How fast this machine trains, from a second of training on made-up images."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F

from ekd.cost import network_cost
from ekd.methods import FORWARD_AND_BACKWARD
from ekd.models import CompNet
from ekd.streams import generator

WARM_UP, MEASURED = 2, 5
BATCH, SIDE, CLASSES = 128, 32, 10


def measured_speed(device: torch.device) -> float:
    """Train a ResNet8 for a second on made-up images; give multiply-accumulates per second."""
    net = CompNet("resnet8", 1, CLASSES).to(device).to(memory_format=torch.channels_last)
    x = torch.randn(BATCH, SIDE, SIDE, 3, generator=generator(0, "speed")).to(device)
    y = torch.zeros(BATCH, dtype=torch.long, device=device)
    start = 0.0
    for step in range(WARM_UP + MEASURED):
        if step == WARM_UP:
            start = time.perf_counter()
        loss = F.cross_entropy(net(x.permute(0, 3, 1, 2)).logits, y)
        loss.backward()  # type: ignore[no-untyped-call]
        loss.item()  # wait for the device
    seconds = time.perf_counter() - start
    macs = FORWARD_AND_BACKWARD * network_cost("resnet8", 1, CLASSES, SIDE).macs
    return MEASURED * BATCH * macs / seconds
