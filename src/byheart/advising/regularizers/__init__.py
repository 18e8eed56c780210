"""Regularizers that apply to any network, each with a strength per replica."""
