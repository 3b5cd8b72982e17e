"""The form of the records in a recovery store: read and written without a pickle module.

Bytewax stores the pickle of what a `snapshot()` returned, and unpickles it at the next start. A pickle can run any
code. Those of csq hold sealed bytes (``domain/stage/seal.py``) or `None`, and a pickle of bytes has one possible form:
a header that follows from the length, the bytes, and two closing opcodes. `content_of` compares a record with that
form. Everything else is refused, and nothing is unpickled.
"""

from typing import Final

NOTHING: Final = b"\x80\x04N."
"""The pickle of `None`: protocol 4."""
_END: Final = b"\x94."
_HEADERS: Final = (13, 16, 7)
"""Bytes before a content of up to 255 bytes, of less than 64 KiB, and of more."""


class RecordFormError(ValueError):
    """A record was not written by csq."""


def content_of(record: bytes) -> bytes | None:
    """The bytes in a record, or `None` where it holds nothing.

    >>> import pickle
    >>> content_of(pickle.dumps(b"sealed")), content_of(pickle.dumps(None))
    (b'sealed', None)
    >>> content_of(pickle.dumps(17))
    Traceback (most recent call last):
    RecordFormError: this record was not written by csq: it holds something else than bytes or nothing...

    Raises:
        RecordFormError: it holds something else.
    """
    if record == NOTHING:
        return None
    for begin in _HEADERS:
        size = len(record) - begin - len(_END)
        if size >= 0 and record.startswith(_header(size)) and len(_header(size)) == begin and record.endswith(_END):
            return record[begin : -len(_END)]
    raise RecordFormError(
        "this record was not written by csq: it holds something else than bytes or nothing. It was not read, because a "
        "pickle can run code"
    )


def record_of(content: bytes) -> bytes:
    """The record that holds `content`, as Bytewax stores it.

    >>> import pickle
    >>> record_of(b"sealed") == pickle.dumps(b"sealed")
    True
    """
    return _header(len(content)) + content + _END


def _header(size: int) -> bytes:
    """Protocol, frame and length of pickled bytes, as `pickle.dumps` writes them with protocol 4."""
    if size < 1 << 8:
        return b"\x80\x04\x95" + (size + 4).to_bytes(8, "little") + b"C" + size.to_bytes(1, "little")
    if size < 1 << 16:
        return b"\x80\x04\x95" + (size + 7).to_bytes(8, "little") + b"B" + size.to_bytes(4, "little")
    return b"\x80\x04B" + size.to_bytes(4, "little")
