"""One provider for the tests of a module that leave no trace in it; ``fresh`` for the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.psp.server import Psp, running


@pytest.fixture(scope="module")
def psp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Psp]:
    with running(tmp_path_factory.mktemp("psp")) as service:
        yield service


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Psp]:
    with running(tmp_path) as service:
        yield service
