"""The command line: one file per command, no logic in any of them."""
