"""What a case is and what happens to it: states, rules and clocks. Standard library only."""
