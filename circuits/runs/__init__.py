"""The clean run and its baseline, as activations and as features."""
