"""All SQL of the notifier. Locks are taken in the order customer, answer, case, each sorted."""
