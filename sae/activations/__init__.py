"""Activations of a corpus, gathered for training."""
