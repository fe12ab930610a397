"""The error tree, and the one place where driver errors become ours.

Translation reads SQLSTATE and constraint names, never message text (they depend on the server's
language). https://www.postgresql.org/docs/current/errcodes-appendix.html lists the codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg2


class HomethriveDbError(Exception):
    """Root of everything this package raises on purpose.

    ``code`` is stable and upper case, to be compared by programs. ``details`` names things (a
    field, a constraint, an SQLSTATE, an id) and never holds a value of a row.
    """

    default_code = "DATABASE_ERROR"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details: Mapping[str, object] = MappingProxyType(dict(details or {}))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling, so that a worker process can hand its error to its parent."""
        return type(self), (self.message, self.code, dict(self.details))


class ValidationError(HomethriveDbError):
    """Bad input: ``details["field"]`` names it, unless only the database could tell."""

    default_code = "VALIDATION_ERROR"

    @classmethod
    def of(cls, field: str, message: str) -> ValidationError:
        """Make the error for *field*; *message* says what was expected and what came."""
        return cls(f"{field}: {message}", details={"field": field})


class NotFoundError(HomethriveDbError):
    """The thing is not there, or not the user's to reach: the two are the same answer."""

    default_code = "NOT_FOUND"


class ConflictError(HomethriveDbError):
    """The stored state forbids it: a second active access, a deactivated medication, ..."""

    default_code = "CONFLICT"


class UnavailableError(HomethriveDbError):
    """The database did not do it now. ``retryable`` says that nothing was written."""

    default_code = "DATABASE_UNAVAILABLE"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        details: Mapping[str, object] | None = None,
        *,
        retryable: bool = False,
    ) -> None:
        super().__init__(message, code, details)
        self.retryable = retryable

    def __reduce__(self) -> tuple[object, ...]:
        """Keep ``retryable`` when pickled."""
        fields = (self.message, self.code, dict(self.details), self.retryable)
        return _unpickle_unavailable, (type(self), *fields)


def _unpickle_unavailable(
    kind: type[UnavailableError],
    message: str,
    code: str,
    details: Mapping[str, object],
    retryable: bool,
) -> UnavailableError:
    return kind(message, code, details, retryable=retryable)


class PoolTimeoutError(UnavailableError):
    """No connection of the pool came free in time; the message names who holds them."""

    default_code = "POOL_EXHAUSTED"


class CommitUncertainError(UnavailableError):
    """The connection was lost during COMMIT: all of the transaction is written, or nothing."""

    default_code = "COMMIT_UNCERTAIN"


class ConfigurationError(HomethriveDbError):
    """The settings are wrong: no URL, a URL that cannot be read, a missing extra."""

    default_code = "CONFIGURATION_ERROR"


class MigrationError(HomethriveDbError):
    """Migrations failed, or the tables are not there yet."""

    default_code = "MIGRATION_ERROR"


CONNECTION_LOST = "CONNECTION_LOST"
DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
READ_ONLY = "READ_ONLY"
_CUT_OFF = frozenset({CONNECTION_LOST, DEADLINE_EXCEEDED})

TRANSACTION_ABORTED = (
    "a statement of the transaction had failed, so nothing of it is written; "
    "put what may fail into a `with db.atomic():` of its own"
)

# Foreign keys to users end so; every other one points at a row that the access rule has checked.
_USER_FOREIGN_KEY = "_users_clerk_user_id_fk"

# Class 22 (a value PostgreSQL cannot take) and a statement excerpt quote values in their messages.
_DATA_EXCEPTION = "22"
# Not null, check, and what is too long for an index.
_REFUSED_VALUES = frozenset({"23502", "23514", "54000"})

# What ends a transaction without a trace of it: a new attempt may be made.
_ROLLED_BACK = {"40001": "SERIALIZATION_FAILURE", "40P01": "DEADLOCK"}

# Classes of a server that cannot serve now: connection, resources, operator intervention, system.
_UNAVAILABLE_CLASSES = frozenset({"08", "53", "57", "58"})


def translate(error: BaseException, *, nothing_written: bool = False) -> HomethriveDbError | None:
    """Find our error for one of peewee's or psycopg2's; None where it is neither's.

    *nothing_written* says what the caller knows of a lost connection: True where the statement
    cannot have taken effect (a connect, a read, a transaction that was not yet committed).
    """
    import peewee  # here and below: entities and ports raise our errors without a driver
    import psycopg2

    if isinstance(error, HomethriveDbError):
        return None
    driver_error = getattr(error, "orig", None) or error
    if isinstance(driver_error, psycopg2.Error):
        return _from_driver(driver_error, nothing_written)
    if isinstance(error, peewee.InterfaceError):
        return UnavailableError(
            "the connection to the database is closed", CONNECTION_LOST, retryable=nothing_written
        )
    return None


def sqlstate(error: BaseException) -> str | None:
    """Give the SQLSTATE of one of peewee's or psycopg2's errors; None where it has none."""
    state: str | None = getattr(getattr(error, "orig", None) or error, "pgcode", None)
    return state


def quotes_values(error: BaseException) -> bool:
    """Say whether the driver's text may hold values of a row, which no log should see."""
    import psycopg2

    driver_error = getattr(error, "orig", None) or error
    if not isinstance(driver_error, psycopg2.Error) or driver_error.pgcode is None:
        return False
    diagnostics = driver_error.diag
    return (
        diagnostics.message_detail is not None
        or diagnostics.statement_position is not None
        or driver_error.pgcode.startswith(_DATA_EXCEPTION)
    )


def _from_driver(error: psycopg2.Error, nothing_written: bool) -> HomethriveDbError:
    import psycopg2

    state = error.pgcode
    if isinstance(error, psycopg2.ProgrammingError) and state is None:
        _, _, keyword = str(error).partition("invalid connection option ")
        return ConfigurationError(
            f"{keyword.strip()} is no option, and no keyword of libpq"
            if keyword
            else "the driver does not know a keyword or a type it was given"
        )
    code = CONNECTION_LOST if _has_lost(error) else None
    if state is None:  # libpq gives no SQLSTATE when a connection fails or is lost
        return UnavailableError(_first_line(error), code, retryable=nothing_written)
    details: dict[str, object] = {"sqlstate": state}
    constraint = error.diag.constraint_name
    if constraint:
        details["constraint"] = constraint
    if state in _ROLLED_BACK:
        return UnavailableError(
            "another transaction was in the way; nothing was written, try again",
            _ROLLED_BACK[state],
            details,
            retryable=True,
        )
    if state == "25006":
        return UnavailableError(
            "nothing is written here now: the server is in recovery, or the transaction read-only",
            READ_ONLY,
            details,
            retryable=True,
        )
    if state[:2] in _UNAVAILABLE_CLASSES:
        return UnavailableError(
            f"the database cannot serve now ({state})",
            code,
            details,
            retryable=nothing_written,
        )
    return _of_statement(state, constraint, details)


def _of_statement(
    state: str, constraint: str | None, details: dict[str, object]
) -> HomethriveDbError:
    if state == "23503":
        if constraint and constraint.endswith(_USER_FOREIGN_KEY):
            return NotFoundError("no such user", "USER_NOT_FOUND", details)
        return NotFoundError("what it refers to is not there", details=details)
    if state == "23505":
        return ConflictError(f"already there (unique {constraint})", details=details)
    if state in _REFUSED_VALUES or state.startswith(_DATA_EXCEPTION):
        return ValidationError(
            f"the database refuses the value ({constraint or state})", details=details
        )
    if state in {"42P01", "42703", "42704"}:
        return MigrationError(
            "the database lacks tables or columns of this version: run `homethrive-db migrate`",
            "SCHEMA_OUTDATED",
            details,
        )
    message, code = f"the database refused the statement ({state})", None
    if state == "25P02":
        message, code = TRANSACTION_ABORTED, "TRANSACTION_ABORTED"
    elif state == "42501":
        message, code = "the database user lacks the right to do this", "PERMISSION_DENIED"
    return HomethriveDbError(message, code, details)


def _has_lost(error: psycopg2.Error) -> bool:
    """Say whether the connection of a failed statement is gone."""
    return error.cursor is not None and bool(error.cursor.connection.closed)


def _first_line(error: psycopg2.Error) -> str:
    """Take the line of libpq that says why; it names host and user, never the password."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "the connection to the database was lost"


class Translation:
    """Context manager that turns driver errors into ours: ``with Translation():``.

    The driver's error stays the cause, except where its text quotes values of a row: then the
    chain is cut, and SQLSTATE and constraint in ``details`` are what remains.
    """

    __slots__ = ("_nothing_written",)

    def __init__(self, *, nothing_written: bool = False) -> None:
        self._nothing_written = nothing_written

    def __enter__(self) -> None:
        """Do nothing: the work is in the exit."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise our error in place of the driver's; let every other one pass."""
        if error is None:
            return
        if isinstance(error, UnavailableError) and error.code in _CUT_OFF:
            error.retryable |= self._nothing_written
            if error.__context__ is not None and quotes_values(error.__context__):
                error.__context__ = None
        ours = translate(error, nothing_written=self._nothing_written)
        if ours is None:
            return
        if not quotes_values(error):
            raise ours from (getattr(error, "orig", None) or error)
        try:
            raise ours from None
        finally:
            ours.__context__ = None
