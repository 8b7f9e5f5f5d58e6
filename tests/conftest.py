"""Fixtures for every test: databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres import PostgreSQLServer

from acpref_merchant.store import migrate


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
    """The URL of a new SQLite database with the current schema."""
    path = tmp_path / "shop.db"
    shutil.copyfile(_migrated_sqlite_file, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_server: PostgreSQLServer) -> str:
    return postgres_server.template("migrated", migrate)


@pytest.fixture
def postgres_store_url(postgres_server: PostgreSQLServer, _migrated_postgres: str) -> Iterator[str]:
    """The URL of a new PostgreSQL database with the current schema."""
    with postgres_server.database(template=_migrated_postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new database with the current schema, once for each kind of database."""
    return str(request.getfixturevalue(f"{'sqlite' if request.param == 'sqlite' else 'postgres'}_store_url"))
