"""Which nodes a circuit keeps when what should not matter is varied: resamples, path, precision, seed, wording."""
