"""What things cost: programs that measure and report, no tests."""
