"""The contract inside other libraries: one module for each, its only importer."""
