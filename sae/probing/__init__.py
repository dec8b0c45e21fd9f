"""What can be read off a few features by a linear probe, and which features hide a concept from its own probe."""
