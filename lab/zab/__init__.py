"""The protocol, sans-IO: election, discovery, synchronization, broadcast and observers (zab.md 1, 3, 4, 5, 6).

`Peer.step(event)` returns the effects that somebody else carries out; nothing here holds a clock, socket, file,
thread or random source.  Read `messages`, `events` and `effects` first, then `peer`.
"""
