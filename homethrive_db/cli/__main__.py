"""``python -m homethrive_db.cli``."""

from homethrive_db.cli import main

if __name__ == "__main__":
    main()
