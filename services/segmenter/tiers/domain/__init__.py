"""Loyalty as arithmetic: facts in, standing and tags out. Standard library and the shared kernel only."""
