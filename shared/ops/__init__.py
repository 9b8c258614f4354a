"""What operators need of a service: settings, logs, metrics, health, tracing."""
