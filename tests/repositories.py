"""Every repository by its attribute, those included that are made on first use."""

from homethrive_db import Repositories


def by_name(repositories: Repositories) -> dict[str, object]:
    """Name the repositories."""
    names = [name for name in dir(repositories) if not name.startswith("_")]
    return {name: getattr(repositories, name) for name in names}
