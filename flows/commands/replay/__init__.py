"""The command `csq replay`, and how its summary is shown."""
