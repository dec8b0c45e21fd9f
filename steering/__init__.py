"""Change what a model does along its features."""
