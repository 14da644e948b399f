"""Storage and hosts for the tests of the local host."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from local.azurite import Azurite
from local.worker import Host
from tests.local.scenes import Scene


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def scene(azurite: Azurite) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(azurite, stack)


@pytest.fixture(scope="session")
def shared(azurite: Azurite) -> Iterator[Scene]:
    """A scene for tests that do not disturb each other."""
    with ExitStack() as stack:
        yield Scene(azurite, stack)


@pytest.fixture(scope="session")
def sample(shared: Scene) -> Host:
    return shared.host()
