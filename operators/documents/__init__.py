"""YAML files that users write, read strictly and checked against structs; every mistake has a line."""
