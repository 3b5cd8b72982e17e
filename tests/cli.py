"""The command line in this process."""

from click.testing import CliRunner, Result

from flows.commands.main import main


def csq(*arguments: object, code: int = 0) -> Result:
    """Run `csq` with these arguments; it must end with `code`."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result
