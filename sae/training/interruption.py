"""SIGTERM and SIGINT during training: the step at hand is finished and saved before the process ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interruption", "deferred_interruption"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def exit(self) -> SystemExit:
        """What to raise: ends the process with the code that the shell gives a process ended by that signal."""
        # of several processes that train together, only another one may have been asked
        return SystemExit(128 + (self.signal or signal.SIGTERM))


@contextmanager
def deferred_interruption() -> Iterator[Interruption]:
    """Signals are noted instead of ending the block at once; a second one ends it as it always would.

    Only the main thread can do this; elsewhere nothing is ever noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        interruption.signal = signal.Signals(number)
        restore()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
