"""Operators' commands: `python -m cli --help`."""
