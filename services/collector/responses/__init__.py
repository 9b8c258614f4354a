"""Answers: how they get in, and how they are amended and retracted."""
