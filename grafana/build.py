"""Writes the dashboards, or lists the stale ones.

python -m grafana.build --write
python -m grafana.build --check
python -m grafana.build --write --config my.yaml --slo slo.yaml --folder my-dashboards
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from flows.commands.rules.load import load
from flows.settings.load import load as load_settings
from grafana import customers, goals, overview, pipeline, queues
from operators.documents.load import DocumentError

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {
    "overview.json": overview.dashboard,
    "queues.json": queues.dashboard,
    "customers-and-models.json": customers.dashboard,
    "pipeline.json": pipeline.dashboard,
}


def documents() -> dict[str, str]:
    """The text of each file by its name: the same bytes for the same declaration."""
    return {name: _text(json.loads(json.dumps(make(), cls=JSONEncoder))) for name, make in DASHBOARDS.items()}


def _text(board: dict[str, Any]) -> str:
    return json.dumps(in_sight(board), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def in_sight(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same without `placement`: the SDK always sets it, and would hide links and marks in the controls menu."""
    if isinstance(node, dict):
        return {key: in_sight(value) for key, value in node.items() if key != "placement"}
    return [in_sight(value) for value in node] if isinstance(node, list) else node


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of files that are missing, left over, or not what would be written."""
    wanted = documents()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: list[str] | None = None) -> None:
    """Write the dashboards, or check them."""
    parser = argparse.ArgumentParser(prog="python -m grafana.build", description="The dashboards of Grafana.")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="settings; without it the built-in ones")
    parser.add_argument("--slo", type=Path, metavar="FILE", default=goals.FILE, help="objectives (config/slo.yaml)")
    parser.add_argument("--folder", type=Path, metavar="DIR", default=FOLDER, help="dashboards (grafana/dashboards)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="write grafana/dashboards")
    what.add_argument("--check", action="store_true", help="fail when a dashboard is not what --write would write")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config, os.environ)
        declaration = load(options.slo, settings)
    except DocumentError as error:
        sys.exit(str(error))
    with goals.taken_from(declaration, settings):
        if options.write:
            options.folder.mkdir(parents=True, exist_ok=True)
            for name, text in documents().items():
                (options.folder / name).write_text(text, encoding="utf-8")
        elif names := stale(options.folder):
            sys.exit(f"{options.folder}: not up to date: {', '.join(names)}; run `python -m grafana.build --write`")


if __name__ == "__main__":
    main()
