"""The collector: the door through which answers, orders and engagements come in.

Takes   HTTP from storefronts (`sec_` keys) and browsers (`pub_` keys)
Owns    nothing yet (schema `collector` is for invitations); nothing on the hot path ever
Emits   `feedback.responses.v1`, `commerce.orders.v1`; erasures: not yet
Promises  202 only when all in-sync replicas have the record; any doubt is a 503 with the id to retry with
"""
