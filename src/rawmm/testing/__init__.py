"""Tools for tests of code that speaks the contract. Needs the extra ``testing``."""
