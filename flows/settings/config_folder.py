"""Config folder: where the files of `config/` are, in a checkout and in an installed wheel."""

from importlib.resources import files
from pathlib import Path


def config_folder() -> Path:
    """The folder with `slo.yaml`, `default.yaml`, rules and mappings.

    A wheel has it inside the package (`[tool.hatch.build.targets.wheel]` in `pyproject.toml`), a checkout beside it.

    >>> (config_folder() / "slo.yaml").is_file()
    True
    """
    package = Path(str(files("flows")))
    packed = package / "config"
    return packed if packed.is_dir() else package.parent / "config"
