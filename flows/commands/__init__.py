"""The command : one file or folder per subcommand."""
