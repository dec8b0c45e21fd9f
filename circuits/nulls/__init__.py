"""What a circuit is compared with: the same measure where there is nothing to find."""
