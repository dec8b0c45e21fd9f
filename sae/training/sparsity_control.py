"""Closed-loop control of L0: thresholds and sparsity coefficient follow from the L0 that is wanted.

A fixed coefficient sets the direction in which Adam moves the thresholds but hardly the L0 at which they stop: over
three decades of it L0 stays where it is. A controller that sees L0 needs no such luck.
"""

import math
from collections.abc import Mapping

__all__ = ["L0Controller"]

LOWEST, HIGHEST = 1e-6, 1.0
LARGEST_ERROR = 1.0


class L0Controller:
    r"""A PI controller whose two parts act in two places.

        e           = log(l0 / target), at most 1 in size
        log theta  += proportional_gain * e        every threshold, at once
        log lambda += integral_gain * e            what holds the thresholds there by itself in the long run

    The thresholds answer within some tens of steps, whatever the penalty does. Were that all, the penalty would drag
    against it for good; but as long as it drags there is an error, and the coefficient moves until there is none.

    A dead feature is below any target as far as can be, so its own threshold falls at the largest rate until it fires.
    Left where it is, nothing would move it: no pre-activation comes near the window. And where a feature is pulled up
    to a high threshold instead, it fires too strongly for what its decoder row has learned, and is pushed back.

    The coefficient is a share of the variance: at 1 an active feature would cost as much as leaving the whole
    activation unexplained, so that more cannot help. It stays within bounds, and what would lie beyond is not
    remembered (no wind-up).

    Args:
        proportional_gain: Share of the error by which thresholds are corrected in one step, in (0, 1].
        integral_gain: Share of the error by which the log coefficient is corrected in one step.
        coefficient: Where lambda begins.
    """

    def __init__(self, *, proportional_gain: float, integral_gain: float, coefficient: float) -> None:
        self.proportional_gain = proportional_gain
        self.integral_gain = integral_gain
        self.coefficient = coefficient

    def update(self, l0: float, target: float) -> float:
        """Take in a step's L0 and set the coefficient of the next step.

        Args:
            l0: Mean number of active features of the step's tokens.
            target: What it should have been, above 0.

        Returns:
            The factor by which to multiply all thresholds now.
        """
        error = math.log(l0 / target) if l0 > 0 else -LARGEST_ERROR
        error = min(max(error, -LARGEST_ERROR), LARGEST_ERROR)
        wanted = self.coefficient * math.exp(self.integral_gain * error)
        self.coefficient = min(max(wanted, LOWEST), HIGHEST)
        return math.exp(self.proportional_gain * error)

    @property
    def dead_factor(self) -> float:
        """The factor by which to multiply the thresholds of dead features in its place."""
        return math.exp(-self.proportional_gain * LARGEST_ERROR)

    def state_dict(self) -> dict[str, float]:
        """All that `update` depends on."""
        return {"coefficient": self.coefficient}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from a state."""
        self.coefficient = state["coefficient"]
