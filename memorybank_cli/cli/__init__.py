"""Floor 5: the command line, derived from the operations."""
