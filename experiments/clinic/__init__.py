"""The synthetic clinic: a small world whose ground truth is known, and the texts and host made from it."""
