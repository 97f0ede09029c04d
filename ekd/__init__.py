"""EKD: a reproduction suite for Ensemble Knowledge Distillation (arXiv 1909.08097)."""

__version__ = "0.1.0"
