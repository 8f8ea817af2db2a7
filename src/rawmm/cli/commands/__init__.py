"""The commands, one module each. `rawmm.cli.app` lists them."""
