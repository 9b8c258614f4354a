"""The queue of alerts: what is to be sent, claimed, held back and tried again.

No other feature is imported here. A case is known by its id; only statements that put the most urgent alert
first read the priority of its case.
"""
