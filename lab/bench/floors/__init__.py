"""Floors: what the machine and the parts cost alone, measured in the same rounds as what is built of them.

`python -m lab.bench.floors [hop] [disk] [ring] [codec] [datagrams] [window] [strangers]`, one file each.  They stand
apart from the rest of `lab.bench`, which knows no transport and no requests, as they measure those.
"""
