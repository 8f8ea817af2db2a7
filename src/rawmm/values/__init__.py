"""Any Python object seen as JSON: no rule of the contract, no schema."""
