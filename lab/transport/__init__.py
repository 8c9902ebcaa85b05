"""Links between processes: frames of bytes that arrive once and in order, or the link ends (DESIGN 3).

This package knows no message, no session and no server; `lab.node` and `lab.client` give frames their meaning.
"""
