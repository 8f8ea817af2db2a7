"""Benchmarks, run by ``python -m benchmarks``. See the README in this directory."""
