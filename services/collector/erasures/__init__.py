"""Erasures: a person asks to be forgotten."""
