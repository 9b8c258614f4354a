"""Collector: answers, orders, engagements and erasures come in by HTTP, and go to Kafka.

Takes     HTTP from the servers of stores (`sec_` keys) and from their pages (`pub_` keys).
Owns      schema collector: to which logs it writes, and the tables of every service. It stores no answers.
Emits     feedback.responses.v1, commerce.orders.v1, feedback.erasures.v1.
Promises  202 only when all in-sync replicas have the record; any doubt is a 503 with the id to retry with.
"""
