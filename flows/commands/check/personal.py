"""Whether ids in events are personal data, which csq publishes as they are unless the settings say otherwise."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from flows.commands.check.finding import Finding
from operators.domain.wire.personal import kind_of
from operators.domain.wire.pseudonyms import FIELDS, PrivacyParams

WORDS = {"email": "an e-mail address", "phone": "a phone number", "card": "a card number"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def check_ids(topic: str, records: Iterable[bytes], privacy: PrivacyParams) -> Iterator[Finding]:
    """Warn of ids in a sample of a topic that look like personal data and would leave as they are."""
    found: Counter[tuple[str, str]] = Counter()
    count = 0
    for raw in records:
        count += 1
        found.update(_personal_in(raw))
    for (field, kind), times in sorted(found.items()):
        if field not in privacy.pseudonyms and kind not in privacy.pseudonyms:
            yield Finding.warn(
                "ids",
                f"{topic}: {field} looks like {WORDS[kind]} in {times} of the {count} newest events.",
                "Set privacy.pseudonyms and privacy.key_file, or let producers send other ids (docs/security.md).",
            )


def _personal_in(raw: bytes) -> set[tuple[str, str]]:
    try:
        data = _decode(raw).get("data")
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return set()
    values = ((field, data.get(field)) for field in FIELDS) if isinstance(data, dict) else ()
    return {(field, kind) for field, value in values if isinstance(value, str) and (kind := kind_of(value)) is not None}
