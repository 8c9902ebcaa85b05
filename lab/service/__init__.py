"""What the ensemble serves, sans-IO: znodes, requests -> transactions -> replies, sessions; `Server` = Peer + service.

`host.Host` is the one loop that runs a Server, under real processes and under the simulator alike.
"""
