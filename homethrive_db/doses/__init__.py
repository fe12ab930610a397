"""What worker scripts do with doses."""
