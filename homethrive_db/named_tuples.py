"""How named tuples are made where there are millions."""

from __future__ import annotations

make = tuple.__new__
"""Makes one of its fields. Its own constructor is Python: it takes four times as long."""
