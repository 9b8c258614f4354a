"""A case of an unhappy customer, from the answer that opens it to the outcome that closes it."""
