"""Watching: scores that fall, and stores that fall silent, each told once."""
