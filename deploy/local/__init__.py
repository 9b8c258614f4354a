"""The embedded stack: a real Kafka and a real PostgreSQL from Python wheels, for `make run` and `make test`.

`stack.LocalStack` is the pair for tests, `supervisor` runs the whole product, `demo_store` fills it.
Nothing here is for production: there an operator brings Kafka and PostgreSQL.
"""
