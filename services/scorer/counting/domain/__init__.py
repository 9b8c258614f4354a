"""What an answer is worth to which score. Standard library only; nothing here knows of SQL or Kafka."""
