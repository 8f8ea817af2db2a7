"""Turns ``schemas/`` into ``src/rawmm/_generated``. Not shipped.

``python -m codegen`` writes, ``python -m codegen --check`` compares in memory.
"""
