"""A first file of objectives, made from those that csq contains."""

from flows.settings.closed_sets import labels_of
from flows.settings.config_folder import config_folder
from flows.settings.model import Settings
from operators.documents.yaml import write
from operators.domain.stage.labels import OTHER
from operators.domain.stage.promise import Promises

_URGENT, _STANDARD = "queues: [billing, technical]", f"queues: [orders, returns, {OTHER}]"
"""As in `config/slo.yaml`."""


def starting_point(settings: Settings) -> str:
    """Return the text of `config/slo.yaml` with the queues of the settings.

    Queues whose limit is shorter than `promises.limit_seconds` are urgent, else the first queue is; all others are in
    the class of `other`. Without queues in the settings the classes stay unchanged.
    """
    text = (config_folder() / "slo.yaml").read_text(encoding="utf-8")
    queues, promises = labels_of(settings).queues.fixed, Promises(settings.promises)
    if not queues:
        return text
    usual = settings.promises.limit_seconds
    urgent = [queue for queue in queues if promises.of(queue, OTHER).limit_seconds < usual] or [queues[0]]
    others = [*(queue for queue in queues if queue not in urgent), OTHER]
    for pattern, names in ((_URGENT, urgent), (_STANDARD, others)):
        line = write({"queues": names}).strip()
        text = text.replace(pattern, line, 1)
    return text
