"""What makes a process a service: its parts are started and stopped in order, and served over HTTP."""
