"""Fixtures for every test: databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres import PostgreSQLServer

from acpref_merchant.store import migrate
from acpref_merchant.store.tables import METADATA


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgreSQLServer]:
    """The one PostgreSQL server of the test session, started when the first test asks for it."""
    with PostgreSQLServer.start() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgreSQLServer) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without any table, once for each kind of database."""
    fixture = "empty_sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture(scope="session")
def _migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "shop.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_store_url(_migrated_sqlite_file: Path, tmp_path: Path) -> str:
    """The URL of an SQLite database with the current schema and no rows."""
    path = tmp_path / "shop.db"
    shutil.copyfile(_migrated_sqlite_file, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def _migrated_postgres_url(postgres_server: PostgreSQLServer) -> Iterator[str]:
    with postgres_server.database() as url:
        migrate(url)
        yield url


@pytest.fixture
def postgres_store_url(postgres_server: PostgreSQLServer, _migrated_postgres_url: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with the current schema and no rows."""
    yield _migrated_postgres_url
    postgres_server.empty(_migrated_postgres_url, METADATA.tables)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with the current schema and no rows, once for each kind of database."""
    return str(request.getfixturevalue(f"{'sqlite' if request.param == 'sqlite' else 'postgres'}_store_url"))
