"""The optimiser of a recipe, and its learning rate as a function of the epoch."""

from __future__ import annotations

from torch import nn, optim

from ekd.spec import Recipe


def learning_rate(recipe: Recipe, epoch: int, epochs: int) -> float:
    """Give the rate of `epoch` (from 0) of `epochs`: lr times the factor of each milestone passed.

    Sec. 4.2: "0.01 which was divided by 10 at 50% and 75% of the total number of epochs".
    """
    passed = sum(epoch >= round(m * epochs, 9) for m in recipe.milestones)
    return recipe.lr * recipe.lr_factor**passed


def build(objective: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """Build the optimiser over whatever requires grad."""
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    spared = [p for p in trained if p.ndim <= 1 and not recipe.decay_norm_and_bias]
    decayed = [p for p in trained if p.ndim > 1 or recipe.decay_norm_and_bias]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    # fused: one pass over all tensors instead of several kernels for each of a thousand.
    match recipe.optimizer:
        case "adam":
            return optim.Adam(groups, lr=recipe.lr, fused=True)
        case "adamw":
            return optim.AdamW(groups, lr=recipe.lr, fused=True)
        case "sgd":
            return optim.SGD(
                groups,
                lr=recipe.lr,
                momentum=recipe.momentum,
                nesterov=recipe.nesterov,
                fused=True,
            )
