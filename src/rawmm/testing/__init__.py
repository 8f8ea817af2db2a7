"""Test helpers for code that uses the contract. Requires the extra ``testing``."""
