"""Activations on disk; `sae/activations/FORMAT.md` is its specification."""
