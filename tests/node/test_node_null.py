"""A null server answers everything in order, and what it says fits what it holds."""

from lab.node.null import EPOCH, NullNodes
from lab.service.requests import Connect, Create, Data, Delete, Done, ErrorCode, Failed, GetData, SetData, Sync
from lab.zab.zxid import make_zxid


def z(counter):
    return make_zxid(EPOCH, counter)


def test_writes_get_ascending_zxids_and_reads_see_them():
    null = NullNodes()
    assert null.answer([Create(1, "/a", b"x"), SetData(2, "/a", b"y"), GetData(3, "/a"), Sync(4)]) == [
        Done(1, z(1), 0), Done(2, z(2), 1), Data(3, z(2), z(2), 1, b"y"), Done(4, z(2), 0),
    ]  # fmt: skip
    assert null.nodes == {"/a": (z(1), z(2), 1, b"y")}
    assert null.zxid == z(2)


def test_what_is_not_there_or_not_known_fails_and_nothing_is_left_unanswered():
    requests = [SetData(1, "/a", b""), GetData(2, "/a"), Delete(3, "/a")]
    assert NullNodes().answer(requests) == [
        Failed(1, z(0), ErrorCode.NO_NODE),
        Failed(2, z(0), ErrorCode.NO_NODE),
        Failed(3, z(0), ErrorCode.UNIMPLEMENTED),
    ]  # fmt: skip


def test_a_connect_is_not_answered_among_the_others():
    assert NullNodes().answer([Connect(7, 1, 0), Sync(1)]) == [Done(1, z(0), 0)]
