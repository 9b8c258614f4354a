"""What the product costs and how fast it is, beside its peers: `python -m bench`, or `make bench`.

Every part starts an own Kafka and PostgreSQL in a folder that it removes again, and the real service
processes on top. Peers and product take turns within one run, so that ratios hold where absolute figures
move with the machine. Nothing here is asserted.
"""
