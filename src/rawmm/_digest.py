"""The C part that belongs to this package; generated: DO NOT EDIT."""

from typing import Final

TABLES_DIGEST: Final = "7fe9e62badfde80b"
"""A hash of the schemas and the C sources. One compiled from others is not used."""
