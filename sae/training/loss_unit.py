"""The unit that the loss is counted in: what a dictionary leaves unexplained at present."""

import math

__all__ = ["UnexplainedShare"]

DECAY = 0.9
SMALLEST = 1e-4


class UnexplainedShare:
    r"""Running mean of the share of the variance that a dictionary leaves unexplained.

        s <- 0.9 s + 0.1 fvu        1 before the first step

    The first gradients of a dictionary are many times its last ones, and Adam's second moment remembers them for a
    thousand steps, in which it takes steps that are too short. Divided by s, gradients stay of one size, and unlike
    their own norm s is known before they are.
    """

    def __init__(self) -> None:
        self.value = 1.0

    def update(self, fvu: float) -> None:
        """Take in a step's share; one that is no number is left to whoever looks for divergence."""
        if math.isfinite(fvu):
            self.value = max(DECAY * self.value + (1 - DECAY) * fvu, SMALLEST)
