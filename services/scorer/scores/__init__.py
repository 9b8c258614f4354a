"""The rolling scores: read by the API, published as events, exported as gauges."""
