"""Regularise image classifiers with the similarity geometry of mouse V1 (Li et al., NeurIPS 2019)."""

__version__ = "0.3.0"
