"""Benchmarks: ``python -m benchmarks``. See the README beside this file."""
