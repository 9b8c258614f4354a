"""The product on Kubernetes: a base, components for what it stands on, and an overlay for each environment."""
