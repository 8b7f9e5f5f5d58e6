"""Migrations: any database reaches the schema of the tables, whoever else is starting up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import acpref_merchant.store
from acpref_merchant.store import StoreUnavailable, meta, migrate, open_store
from acpref_merchant.store.engine import create_engine, parse_url
from acpref_merchant.store.errors import SchemaTooNew
from acpref_merchant.store.migrate import HEAD
from acpref_merchant.store.tables import METADATA


def test_a_migrated_database_has_exactly_the_schema_of_the_tables(empty_url: str) -> None:
    migrate(empty_url)
    engine = create_engine(parse_url(empty_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": False}
        )
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_a_migrated_database_has_the_very_indexes_that_the_tables_declare(empty_url: str) -> None:
    """Comparing metadata does not look at the conditions of partial indexes; the database's own words do."""
    migrate(empty_url)
    engine = create_engine(parse_url(empty_url))
    with engine.connect() as connection:
        migrated = _index_definitions(connection)
        for table in [*METADATA.tables, "alembic_version"]:
            connection.exec_driver_sql(f'DROP TABLE "{table}"')
        METADATA.create_all(connection)
        assert _index_definitions(connection) == migrated
        connection.rollback()
    engine.dispose()


def _index_definitions(connection: sa.Connection) -> set[str]:
    query = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    }[connection.dialect.name]
    found = set(connection.exec_driver_sql(query).scalars())
    assert len(found) > 5
    return found


def test_head_is_the_newest_revision() -> None:
    folder = acpref_merchant.store.__path__[0] + "/migrations"
    assert ScriptDirectory(folder).get_current_head() == HEAD


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    program = "import sys; from acpref_merchant.store import migrate; sys.stdin.read(); migrate(sys.argv[1])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # all have been started: go
    for process in processes:
        assert process.stderr is not None
        assert (process.wait(60), process.stderr.read().decode()) == (0, "")
        process.stderr.close()
    store = open_store(empty_url)
    store.close()


def test_a_current_database_is_recognised_without_loading_alembic(store_url: str) -> None:
    program = (
        "import sys; from acpref_merchant.store import migrate, open_store\n"
        "migrate(sys.argv[1]); open_store(sys.argv[1]).close()\n"
        "assert 'alembic' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", program, store_url], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_migrating_again_changes_nothing(store_url: str) -> None:
    migrate(store_url)
    migrate(store_url)


def test_an_unreachable_database_is_a_typed_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("nobody-listens")
    with pytest.raises(StoreUnavailable):
        migrate(f"postgresql://postgres@/shop?host={folder}")
    with pytest.raises(StoreUnavailable):
        migrate(f"sqlite:///{folder}/missing/shop.db")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "mysql://localhost/shop",
        "shop.db",
    ],
)
def test_a_url_that_cannot_work_says_what_to_write(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///file\.db"):
        open_store(url)


def test_a_database_of_a_newer_release_is_refused_and_left_alone(empty_url: str) -> None:
    migrate(empty_url)
    engine = create_engine(parse_url(empty_url))
    with engine.connect() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
        with pytest.raises(SchemaTooNew, match="newer release"):
            migrate(empty_url)
        connection.rollback()
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


@pytest.mark.parametrize("damage", ["no database", "cut off"])
def test_a_file_that_is_no_database_is_a_typed_error(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "shop.db"
    url = f"sqlite:///{file}"
    if damage == "no database":
        file.write_bytes(b"this is no database at all, though it is long enough to be looked at" * 20)
    else:
        migrate(url)
        file.write_bytes(file.read_bytes()[:5000] + b"\xff" * 5000)
    with pytest.raises(StoreUnavailable):
        _use(url)


def _use(url: str) -> None:
    migrate(url)
    store = open_store(url)
    try:
        store.run_sync(lambda tx: meta.put(tx, "a", "1"))
    finally:
        store.close()


def test_only_its_owner_can_read_a_new_database(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/shop.db")
    assert (tmp_path / "shop.db").stat().st_mode & 0o777 == 0o600
