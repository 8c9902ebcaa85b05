"""What a server refuses to be linked by."""

import pytest

from lab.node.errors import NodeError
from lab.node.linking import open_links
from lab.transport.bell import Bell
from lab.transport.udp import bind_udp


def test_socket_beyond_loopback_without_a_key_ends_a_server_with_one_line(node_config, tmp_path):
    bell = Bell.create()
    with bind_udp("0.0.0.0") as bound, pytest.raises(NodeError) as caught:
        open_links(node_config(1, 1, tmp_path), bell, bound)
    assert str(caught.value).startswith("cannot bind 0.0.0.0 without a key: ")
    assert "\n" not in str(caught.value)
    bell.close()
