"""Training sparse autoencoders."""
