"""Generates ``src/rawmm/_generated`` from ``schemas/``. Not shipped.

``python -m codegen`` writes the files; ``python -m codegen --check`` only compares them.
"""
