"""Draw docs/images/live.svg from a real run: `python docs/images/live.py` (a minute and a half)."""  # noqa: INP001  a script

import io
import threading
import time
from pathlib import Path

from rich.console import Console

from flows.commands.run.view import LiveView, save_svg
from flows.host import logs
from flows.live import Live
from flows.settings.model import Settings

SECONDS = 90.0
"""Long enough for the last minute of the view to be after the simulated past."""


def draw(live: Live, view: LiveView) -> None:
    """Look as often as the view does, save the last look, stop."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not live.stop.wait(0.5):
        view.draw()
    save_svg(Path(__file__).with_suffix(".svg"), view.draw())
    live.stop.set()


def main() -> None:
    """Run like `csq run` without settings."""
    logs.start("warning")
    live = Live(Settings())
    urls = {name: f"{live.web.url}/{name}" for name in ("metrics", "healthz", "readyz")}
    view = LiveView(live.registry, urls, Console(file=io.StringIO()), clock=live.clock.now)
    live.run(threading.Thread(target=draw, args=(live, view), daemon=True).start)


if __name__ == "__main__":
    main()
