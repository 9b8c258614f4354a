"""What two services need, and nothing else. Budget: 2,500 lines in all."""
