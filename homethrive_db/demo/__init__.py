"""``homethrive-db demo``: the whole of it on a machine with nothing but Python."""

from homethrive_db.demo.run import run

__all__ = ["run"]
