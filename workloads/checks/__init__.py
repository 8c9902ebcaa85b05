"""What can be wrong with a trial, one kind of check a module (DESIGN 4, (a) to (e)), vectorised.

Every check returns findings: one sentence for each rule that was broken, with how often and the first case.
"""
