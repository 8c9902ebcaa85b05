"""Reads, answered from the applied tree of the server that is asked (zab.md 5.7)."""

from collections.abc import Sequence

from lab.service.requests import Children, Data, ErrorCode, Exists, Failed, GetData, Read, Reply, StatReply
from lab.service.tree import Tree, names_of_children


def answer_reads(tree: Tree, requests: Sequence[Read], zxid: int) -> list[Reply]:
    """One reply per read; `zxid` is what the tree has applied."""
    nodes, replies = tree.nodes, list[Reply]()
    for request in requests:
        node = nodes.get(request.path)
        if node is None:
            replies.append(Failed(request.cxid, zxid, ErrorCode.NO_NODE))
        elif type(request) is GetData:
            replies.append(Data(request.cxid, zxid, node.mzxid, node.version, node.data))
        elif type(request) is Exists:
            replies.append(StatReply(request.cxid, zxid, node.stat()))
        else:
            replies.append(Children(request.cxid, zxid, names_of_children(node)))
    return replies
