"""Scores that fall, and stores that fall silent: watched, and told once."""
