"""The types of the contract: generated structs, their base, and their schemas."""
