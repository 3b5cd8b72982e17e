"""SIGTERM and SIGINT, handled at once while the main thread is busy.

Python runs its handlers between two steps of the main thread, which takes no step while it waits inside Bytewax for the
other processes of a cluster. So a separate thread reads the byte that the C handler writes.
"""

import os
import signal
from collections.abc import Callable
from threading import Thread
from typing import Any, Self

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Calls `handle` in its own thread for SIGTERM and SIGINT, until the ``with`` block ends.

    Only the main thread may enter.
    """

    def __init__(self, handle: Callable[[signal.Signals], None]) -> None:
        self._handle = handle
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1
        self._ends = (-1, -1)
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        read, write = self._ends = os.pipe()
        os.set_blocking(write, False)
        self._wakeup_before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in STOPPING:  # without a handler of Python's own the process would just end
            self._before[number] = signal.signal(number, lambda *_: None)
        self._thread = Thread(target=self._listen, args=(read,), name="csq-signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._ends[1])  # ends the thread
        if self._thread is not None:
            self._thread.join()
        os.close(self._ends[0])

    def _listen(self, read: int) -> None:
        while received := os.read(read, 1):
            if received[0] in STOPPING:
                self._handle(signal.Signals(received[0]))
