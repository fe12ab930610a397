"""What can be chosen of a database, beside the keywords of libpq."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from homethrive_db.connector import Credentials
from homethrive_db.errors import ConfigurationError
from homethrive_db.observing import StatementEvent

_CALLED = ("credentials", "on_statement")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """How a database keeps its connections, and what it does with them; times are in seconds.

    Raises ConfigurationError for a pool without connections, a time that is negative or no number,
    a choice that is neither True nor False, what should be called and cannot, and for options that
    exclude each other.
    """

    max_connections: int = 10
    """How many may be open at once."""
    pool_timeout: float = 30
    """How long a thread waits for a free one."""
    max_lifetime: float = 1800
    """When an idle one is replaced, however well; each is up to a tenth earlier, so that not all of
    them end at once."""
    max_idle: float = 600
    """When an idle one is closed in place of being used."""
    check_after: float = 30
    """After how long an idle one is asked whether it still answers."""
    check_timeout: float = 2
    """How long it may take to answer."""
    call_timeout: float | None = 25
    """How long a repository statement, a BEGIN, a COMMIT or a ROLLBACK may wait for its answer; 0
    and None: for ever. Plain Peewee queries may take any time; ``db.deadline`` takes its place."""
    credentials: Credentials | None = field(default=None, repr=False)
    """Gives user and password for each physical connection, in place of those of the URL."""
    leak_after: float | None = None
    """When a connection that is still held is logged, with the stack that took it. It costs a few
    microseconds a call. 0 and None: never."""
    settle_commits: bool = False
    """Whether to ask the server what became of a COMMIT whose answer did not come. It costs each
    transaction one more round trip, before COMMIT."""
    prepared: bool = False
    """Whether to prepare each statement once per connection (direct mode). Only where nothing is
    between that shares sessions, so not with *proxy*."""
    proxy: bool = False
    """Whether a proxy such as RDS Proxy is between: then nothing is sent that would pin a session
    (statements of more than 16,000 bytes are split), and TLS is ``verify-full`` unless the URL says
    otherwise. ``DATABASE_PROXY=1`` sets it, too."""
    slow_after: float | None = None
    """After how many seconds a statement is logged as slow: its name, never its values."""
    on_statement: Callable[[StatementEvent], object] | None = None
    """Is called after every repository statement, in its thread: for metrics and traces."""

    def __post_init__(self) -> None:
        """Check the values."""
        if type(self.max_connections) is not int or self.max_connections < 1:
            raise ConfigurationError("max_connections must be 1 or more")
        for one in fields(self):
            value, kind = getattr(self, one.name), str(one.type)
            if value is None and "None" in kind:
                continue
            if one.name in _CALLED and not callable(value):
                raise ConfigurationError(f"{one.name} must be callable")
            if kind == "bool" and not isinstance(value, bool):
                raise ConfigurationError(f"{one.name} must be True or False")
            # What is no number is not 0 or more either, NaN included.
            if "float" in kind and not (isinstance(value, int | float) and value >= 0):
                raise ConfigurationError(f"{one.name} must be 0 or more")
        if self.proxy and self.prepared:
            raise ConfigurationError(
                "prepared: a statement that is prepared pins a proxy's session"
            )
