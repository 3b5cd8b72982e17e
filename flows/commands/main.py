"""The command `csq` and the table of its subcommands; each is imported only when it is called."""

import logging
from importlib import import_module

import click

from flows.commands.output import hide_errors

COMMANDS = {
    "run": ("flows.commands.run.command:run", "Process events from Kafka live, or from a simulated shop."),
    "replay": ("flows.commands.replay.command:replay", "Process recorded events and print a summary."),
    "warm-start": ("flows.commands.warm_start:warm_start", "Replay history into a new recovery store."),
    "check": ("flows.commands.check.command:check", "Check settings, brokers, topics, store, port and clock."),
    "config": ("flows.commands.config:config", "Print the effective settings, secrets hidden."),
    "import": ("flows.commands.import_file:import_file", "Convert a CSV or TSV export into events."),
    "send": ("flows.commands.send:send", "Send recorded events to Kafka."),
    "simulate": ("flows.commands.simulate:simulate", "Write the events of a simulated shop as JSON lines."),
    "forget": ("flows.commands.forget:forget", "Remove what csq keeps of a customer."),
    "id": ("flows.commands.pseudonym:pseudonym", "Print the pseudonyms of ids, for those who have the key."),
    "schema": ("flows.commands.schema:schema", "Print the JSON Schema of all events, for producers."),
    "rules": ("flows.commands.rules.command:rules", "Generate Prometheus rules, alerts and Grafana alerts."),
    "deadletters": ("flows.commands.deadletters.command:deadletters", "List, show and resend dead letters."),
    "state": ("flows.commands.state.command:state", "Inspect, export and import a recovery store."),
}
"""Name to `module:attribute` and the line in `csq --help`."""


def subcommand(name: str) -> click.Command:
    """Import and return a subcommand.

    Raises:
        KeyError: the name is not in `COMMANDS`.
    """
    module, attribute = COMMANDS[name][0].split(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click passes it
        """Return a subcommand, or `None` if the name is unknown."""
        return subcommand(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click passes it
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="csq")
def main() -> None:
    """Measure customer service quality in real time."""
    hide_errors()


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    main()
