"""The supervisor of a process, as the process sees it: it ends with the supervisor."""

import os
import sys
from threading import Thread


def end_with_parent() -> None:
    """End this process as soon as its supervisor has ended, even by a kill.

    The parent holds the other end of our standard input, a socket, and never writes to it.
    """
    Thread(target=_end_with_parent, name="csq-parent", daemon=True).start()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)  # without a message: its standard error went through the parent
