"""One server as one OS process: its links, clock and store, run by `lab.service.host`.

Started as `python -m lab.node FD`; FD is a Unix SEQPACKET control socket (`lab.node.control`), whose EOF means exit.
"""
