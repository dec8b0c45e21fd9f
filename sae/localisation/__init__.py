"""Does a feature fire where its concept is told: pointing, token-level detection, and their nulls."""
