"""The invariants of zab.md 9.2, one file each, named as there.

Not applicable yet, for want of what they speak of:
INV-26 (an ephemeral node's session exists): there are no ephemeral nodes, and sessions do not expire;
INV-28 (one event per one-shot watch, before the change is read): there are no watches;
INV-32 (no two live holders of a lock): the lock recipe needs both.
"""
