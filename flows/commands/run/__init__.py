"""The command `csq run`, and its live view."""
