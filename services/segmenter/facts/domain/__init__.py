"""Facts as they are merged. Standard library only."""
