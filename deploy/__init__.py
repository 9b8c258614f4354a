"""How Closeloop is run: on one machine for trying and testing (`deploy.local`), and in production."""
