"""The product on Kubernetes: a base, components for what it stands on, an overlay for each environment."""
