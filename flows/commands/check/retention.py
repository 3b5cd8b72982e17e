"""How long topics keep what csq reads and writes, as the brokers say: a forgotten customer stays in them as long."""

from collections.abc import Mapping

from flows.commands.check.finding import Finding

DAY_MS = 86_400_000
BY_CUSTOMER = "csq.churn.scored"
"""The stream whose records have the customer as their key: `csq forget` writes a tombstone."""


def check_retention(topic: str, stream: str | None, config: Mapping[str, str], forgotten_days: float) -> Finding:
    """State the retention of a topic; `stream` is what csq writes to it, `None` for a topic of events."""
    kept_ms = int(config.get("retention.ms", "-1"))
    policy = config.get("cleanup.policy", "delete")
    todo = "Set retention.ms, and cleanup.policy to delete (docs/security.md)."
    if "delete" not in policy:
        if stream == BY_CUSTOMER:
            return Finding.ok("retention", f"{topic}: compacted; csq forget writes a tombstone for the customer")
        return Finding.warn("retention", f"{topic}: compacted, so the last record of each key stays for ever.", todo)
    if kept_ms < 0:
        return Finding.warn("retention", f"{topic}: keeps records for ever, those of forgotten customers too.", todo)
    days = f"{kept_ms / DAY_MS:.3g} days"
    if stream is None and kept_ms > forgotten_days * DAY_MS:
        says = f"{topic}: keeps records for {days}, longer than intake.forgotten_days ({forgotten_days:g})."
        return Finding.warn("retention", says, "Raise intake.forgotten_days: a replay would bring a customer back.")
    return Finding.ok("retention", f"{topic}: keeps records for {days}")
