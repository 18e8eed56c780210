"""Regularizers: what each changes of a training step. Studies and advice share them."""
