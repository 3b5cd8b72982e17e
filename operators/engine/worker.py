"""Bytewax's worker is a thread of Rust, to which Python is a guest."""

import ctypes


def keep_thread_state() -> None:
    """Keep Python's thread state of the calling thread between calls by Bytewax.

    A thread that Python did not start gets a thread state for each call and loses it behind the call, with the stack of
    its frames: system calls and page faults that cost a small batch, which passes some twenty steps, more than what the
    steps do. One ``PyGILState_Ensure`` without its release keeps the state for as long as the process lives. Under a
    thread that Python started nothing changes.
    """
    ctypes.pythonapi.PyGILState_Ensure()
