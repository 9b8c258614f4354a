"""The platform that the services stand on, in one line of layers: each imports only what is to its right.

pages > http > service > kafka > jobs > access > db, ops > config, events > feedback
"""
