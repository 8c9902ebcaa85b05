"""Tags: only the holder of the key can make them; keys: only a file that is private can hold them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.transport.errors import SealError
from lab.transport.seal import KEY_FILE_BYTES_MAX, TAG_BYTES, Seal, check_bind, draw_key, is_loopback, key_from_file

KEY = bytes(range(32))


@given(st.binary(max_size=3000))
def test_sealed_datagram_opens_to_itself(datagram: bytes):
    sealed = Seal(KEY).seal(datagram)
    assert len(sealed) == len(datagram) + TAG_BYTES
    assert Seal(KEY).open(sealed) == datagram


@given(st.binary(max_size=100), st.data())
def test_one_changed_bit_is_a_forgery(datagram: bytes, data: st.DataObject):
    seal = Seal(KEY)
    sealed = bytearray(seal.seal(datagram))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    assert seal.open(bytes(sealed)) is None


@given(st.binary(max_size=100), st.integers(0, 115))
def test_truncated_datagram_is_a_forgery(datagram: bytes, kept: int):
    seal = Seal(KEY)
    sealed = seal.seal(datagram)
    assert kept >= len(sealed) or seal.open(sealed[:kept]) is None


def test_another_key_is_a_forgery():
    assert Seal(draw_key()).open(Seal(KEY).seal(b"datagram")) is None


def test_drawn_keys_differ():
    assert draw_key() != draw_key()


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_key_of_another_length_is_refused(length: int):
    with pytest.raises(ValueError, match="32 are needed"):
        Seal(bytes(length))


# -- key files


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> str:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_same_file_gives_the_same_key_and_every_byte_counts(tmp_path):
    key = key_from_file(key_file(tmp_path, bytes(32)))
    assert len(key) == 32
    assert key_from_file(key_file(tmp_path, bytes(32))) == key
    assert key_from_file(key_file(tmp_path, bytes(33))) != key
    Seal(key)


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (bytes(31), 0o600, "31 bytes, allowed: 32 to 4096"),
        (b"", 0o600, "0 bytes, allowed: 32 to 4096"),
        (bytes(KEY_FILE_BYTES_MAX + 1), 0o600, "above 4096 bytes, allowed: 32 to 4096"),
        (bytes(32), 0o640, "mode 0640 lets others at it, allowed: 0600"),
        (bytes(32), 0o604, "mode 0604 lets others at it"),
        (bytes(32), 0o620, "mode 0620 lets others at it"),
    ],
)
def test_unfit_key_file_is_one_clear_line(tmp_path, content: bytes, mode: int, complaint: str):
    path = key_file(tmp_path, content, mode)
    with pytest.raises(SealError) as caught:
        key_from_file(path)
    assert str(caught.value).startswith(f"key file {path}: {complaint}")
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_fifo_are_refused(tmp_path):
    with pytest.raises(SealError, match="No such file"):
        key_from_file(str(tmp_path / "none"))
    with pytest.raises(SealError, match="not a regular file"):
        key_from_file(str(tmp_path))
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(SealError, match="not a regular file"):
        key_from_file(str(tmp_path / "fifo"))


# -- binding


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.250.3.4", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.7", False),
        ("128.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("localhost", False),  # a name means what a resolver says
        ("127.1", False),
    ],
)
def test_beyond_loopback_a_key_is_needed(host: str, only_here: bool):
    assert is_loopback(host) is only_here
    check_bind(host, KEY)
    if only_here:
        check_bind(host, b"")
    else:
        with pytest.raises(SealError) as caught:
            check_bind(host, b"")
        assert str(caught.value).startswith(f"cannot bind {host or 'all addresses'} without a key: ")
        assert "\n" not in str(caught.value)
