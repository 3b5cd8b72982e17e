"""State as JSON without loss: bytes, numbers that are not finite, and tables with keys that are not text.

``{"$bytes": "<base64>"}``, ``{"$number": "-inf"}`` and ``{"$table": [[key, value], ...]}`` encode what JSON lacks.
"""

import base64
import math
from typing import Any

_MARKS = {"$bytes", "$number", "$table"}


def to_json(value: object) -> object:
    """`value` as JSON.

    >>> to_json({"ids": b"ab", "now": float("-inf"), "weights": {3: 0.5}})
    {'ids': {'$bytes': 'YWI='}, 'now': {'$number': '-inf'}, 'weights': {'$table': [[3, 0.5]]}}
    """
    match value:
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case float() if not math.isfinite(value):
            return {"$number": str(value)}
        case dict():
            if all(isinstance(key, str) for key in value) and not _MARKS & value.keys():
                return {key: to_json(part) for key, part in value.items()}
            return {"$table": [[to_json(key), to_json(part)] for key, part in value.items()]}
        case list() | tuple():
            return [to_json(part) for part in value]
        case _:
            return value


def from_json(value: Any) -> Any:  # noqa: ANN401  what JSON holds
    """The inverse of `to_json`; tuples become lists.

    >>> from_json({"$table": [[3, {"$number": "nan"}]]})
    {3: nan}
    """
    match value:
        case {"$bytes": str(text), **rest} if not rest:
            return base64.b64decode(text)
        case {"$number": str(text), **rest} if not rest:
            return float(text)
        case {"$table": list(pairs), **rest} if not rest:
            return {from_json(key): from_json(part) for key, part in pairs}
        case dict():
            return {key: from_json(part) for key, part in value.items()}
        case list():
            return [from_json(part) for part in value]
        case _:
            return value
