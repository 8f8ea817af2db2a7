"""The types of the contract: the generated structs, their base classes, and their schemas."""
