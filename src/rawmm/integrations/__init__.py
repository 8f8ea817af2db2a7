"""Conversions to and from other libraries, one module each."""
