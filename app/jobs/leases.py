"""The leases of workers on several machines, renewed by heartbeats in the database they share.

A worker that can't reach the database ends its training by itself, before its lease expires and
another worker takes the job over. So no job is trained twice at once, whether the worker, its
machine or the network fails.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from app.errors import StudioError

BEAT_SECONDS: Final = 2.0
FENCE_SECONDS: Final = 7.0
"""The age of its last heartbeat at which a worker ends its training, which takes 5 s at most."""

LEASE_SECONDS: Final = 15.0
"""The age of its last heartbeat, by the database's clock, at which a worker counts as dead."""

CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 3
"""The time after which a statement, or data that is not acknowledged, is given up."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS plein_air_workers (
    id text PRIMARY KEY, machine text NOT NULL, beat timestamptz NOT NULL DEFAULT now()
)"""
_LOCK: Final = 0x706C6E61  # any number that nobody else in the database uses
_OLD: Final = f"beat < now() - interval '{LEASE_SECONDS} seconds'"


class Leases:
    """The workers' heartbeats.

    All methods raise StudioError if the database can't be reached, or refuses.

    Args:
        url: The address of a Postgres database.

    Raises:
        StudioError: If the database can't be reached, or refuses to be written to.
    """

    def __init__(self, url: str) -> None:
        try:
            address = sa.make_url(url).set(drivername="postgresql+psycopg")
        except sa.exc.ArgumentError as error:
            # The message leaves the address out: it holds a password.
            raise StudioError(
                "DATABASE_URL is no database's address.",
                "It looks like postgresql://user:password@host:5432/name.",
            ) from error
        options = {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
            # When all sent data has been acknowledged, only probes notice a dead connection.
            "keepalives_idle": ANSWER_SECONDS - 1,
            "keepalives_interval": 1,
        }
        self._engine = sa.create_engine(address, pool_pre_ping=True, connect_args=options)
        with self._asking() as connection:
            # Two workers that create the table at the same moment would disturb each other.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            connection.execute(sa.text(_TABLE))

    def begin(self, worker: str, machine: str) -> None:
        """Enter a new worker into the table."""
        insert = "INSERT INTO plein_air_workers (id, machine) VALUES (:id, :machine)"
        self._ask(insert, id=worker, machine=machine)

    def beat(self, worker: str) -> bool:
        """Record a heartbeat of `worker`; return False if its lease has expired.

        The call may never return: a frozen proxy still acknowledges all that is sent.
        """
        update = f"UPDATE plein_air_workers SET beat = now() WHERE id = :id AND NOT {_OLD}"
        return bool(self._ask(f"{update} RETURNING id", id=worker))

    def living(self) -> frozenset[str]:
        """Return the ids of the living workers."""
        return frozenset(self._ask(f"SELECT id FROM plein_air_workers WHERE NOT {_OLD}"))

    def dead(self) -> frozenset[str]:
        """Return the ids of the dead workers that have not been removed yet."""
        return frozenset(self._ask(f"SELECT id FROM plein_air_workers WHERE {_OLD}"))

    def forget(self, worker: str) -> None:
        """Remove a worker that has ended, or is dead and has no tasks left."""
        self._ask("DELETE FROM plein_air_workers WHERE id = :id", id=worker)

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def _ask(self, statement: str, **values: str) -> list[str]:
        """Carry out one statement; return the ids that it returns."""
        with self._asking() as connection:
            found = connection.execute(sa.text(statement), values)
            return list(found.scalars()) if found.returns_rows else []

    @contextmanager
    def _asking(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                # For this transaction only: a connection pooler may hand the session to others.
                connection.execute(sa.text(f"SET LOCAL statement_timeout = '{ANSWER_SECONDS}s'"))
                yield connection
        except sa.exc.OperationalError as error:
            raise StudioError(
                "The database of jobs can't be reached.", "Start it, or mend DATABASE_URL."
            ) from error
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            raise StudioError(
                f"The database of jobs refuses: {reason}.",
                "Let DATABASE_URL name a server that takes writes, and a user who may write.",
            ) from error
