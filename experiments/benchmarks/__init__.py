"""Times of the toolkit on this machine; a correctness gate runs before any timing."""
