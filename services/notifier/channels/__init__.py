"""Where alerts go. An outlet is a channel that is ready: it builds a message and makes one attempt."""
