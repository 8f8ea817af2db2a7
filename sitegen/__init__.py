"""Builds the documentation as a site: ``python -m sitegen``. Not part of the package."""
