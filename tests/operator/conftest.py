"""A real nats-server of a test's own, for those that ask for one."""

import pytest
from tests.servers.nats import NatsServer, free_port, nats_binary


@pytest.fixture(scope="module")
def binary():
    return nats_binary()


@pytest.fixture
def server(binary, tmp_path):
    server = NatsServer(tmp_path, binary, free_port())
    server.start()
    yield server
    server.stop()
