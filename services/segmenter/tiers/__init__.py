"""The loyalty tier and tags of each customer: a fold of the stored facts, and the clock that folds again."""
