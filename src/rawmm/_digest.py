"""The C part that belongs to this package; generated: DO NOT EDIT."""

from typing import Final

TABLES_DIGEST: Final = "fb2bd1370176b66a"
"""A hash of the schemas and the C sources. One compiled from others is not used."""
