"""Tests against a real PostgreSQL: a pytest plugin and factories, for users of the package too."""
