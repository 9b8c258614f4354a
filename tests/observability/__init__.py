"""A package, so that fixtures of this scope end with its tests and do not run beside all others."""
