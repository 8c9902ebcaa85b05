"""The codec: round trips of every message, and garbage."""

from contextlib import suppress
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_zab_tables import EXAMPLES, KINDS

from lab.zab.constants import NO_ZXID, ZXID_MAX
from lab.zab.messages import (
    Ack,
    AckEpoch,
    FollowerInfo,
    LearnerMessage,
    MalformedError,
    Message,
    Notification,
    ServerState,
    TxnBatch,
    Vote,
    decode_learner_message,
    decode_notification,
    encode_message,
)

messages = st.one_of(
    *[st.just(EXAMPLES[kind]) for kind in KINDS],
    st.builds(Ack, st.integers(0, ZXID_MAX)),
    st.builds(AckEpoch, st.integers(-1, (1 << 31) - 1), st.integers(NO_ZXID, ZXID_MAX), st.booleans()),
    st.builds(FollowerInfo, st.integers(0, (1 << 31) - 1), st.booleans()),
)
notifications = st.builds(
    Notification,
    st.sampled_from(ServerState),
    st.builds(Vote, st.integers(-1, (1 << 31) - 1), st.integers(NO_ZXID, ZXID_MAX), st.integers(0, 254)),
    st.integers(0, (1 << 63) - 1),
    st.booleans(),
)


def test_tags_are_unique():
    tags = [kind.__struct_config__.tag for kind in (*get_args(LearnerMessage), Notification)]
    assert len(set(tags)) == len(tags)


@given(messages)
def test_learner_messages_round_trip(message: Message):
    assert decode_learner_message(encode_message(message)) == message


@given(notifications)
def test_notifications_round_trip(notification: Notification):
    assert decode_notification(encode_message(notification)) == notification


def decodes_or_is_malformed(data: bytes) -> None:
    for decode in (decode_learner_message, decode_notification):
        with suppress(MalformedError):  # nothing else may escape
            decode(data)


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes):
    decodes_or_is_malformed(data)


@given(st.one_of(messages, notifications), st.integers(0, 300), st.integers(0, 255), st.integers(0, 40))
def test_damaged_frame_is_malformed_or_another_message(message: Message, at: int, byte: int, cut: int):
    frame = bytearray(encode_message(message))
    frame[at % len(frame)] = byte
    decodes_or_is_malformed(bytes(frame))
    decodes_or_is_malformed(bytes(frame[:-cut] if cut else frame))


@pytest.mark.parametrize(
    "frame",
    [
        [3, -1],  # a zxid below zero
        [3, 1 << 63],
        [17, -1],  # an epoch below zero
        [17, 1 << 31],
        [2, [1, 0, 0, b""]],  # an empty batch
        [3, 1, 2],  # a field too many
        [3],
        [99],
        [20, 7, [0, 0, 1], 1],  # no such state
        [20, 0, [0, 0, 255], 1],  # no such id
    ],
)
def test_out_of_bounds_is_malformed(frame: list[object]):
    data = msgspec.msgpack.encode(frame)
    with pytest.raises(MalformedError):
        decode_notification(data) if frame[0] == 20 else decode_learner_message(data)


def test_last_zxid_of_a_batch():
    assert TxnBatch(5, 3, 0, b"").last == 7
