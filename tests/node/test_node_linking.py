"""What a server refuses to be linked by."""

import pytest

from lab.node.config import MTU_BYTES_MAX, MTU_BYTES_MIN
from lab.node.errors import NodeError
from lab.node.linking import open_links
from lab.transport.bell import Bell
from lab.transport.seal import TAG_BYTES
from lab.transport.udp import bind_udp
from lab.transport.window import WindowConfig


def test_socket_beyond_loopback_without_a_key_ends_a_server_with_one_line(node_config, tmp_path):
    bell = Bell.create()
    with bind_udp("0.0.0.0") as bound, pytest.raises(NodeError) as caught:
        open_links(node_config(1, 1, tmp_path), bell, bound)
    assert str(caught.value).startswith("cannot bind 0.0.0.0 without a key: ")
    assert "\n" not in str(caught.value)
    bell.close()


@pytest.mark.parametrize("tag_bytes", [0, TAG_BYTES])
def test_a_window_takes_whatever_size_of_datagram_a_server_may_be_given(tag_bytes):
    for mtu_bytes in (MTU_BYTES_MIN, MTU_BYTES_MAX):
        assert WindowConfig(mtu_bytes=mtu_bytes, tag_bytes=tag_bytes).mtu_bytes == mtu_bytes
