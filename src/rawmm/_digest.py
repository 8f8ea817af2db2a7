"""The C part that belongs to this package; generated: DO NOT EDIT."""

from typing import Final

TABLES_DIGEST: Final = "3abdd4d88d040f4c"
"""A hash of the schemas and the C sources. One compiled from others is not used."""
