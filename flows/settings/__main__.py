"""Write, or check, the documents that are generated from the settings: ``python -m flows.settings --write``."""

from flows.settings.explain import main
from flows.settings.model import Settings

main(Settings)
