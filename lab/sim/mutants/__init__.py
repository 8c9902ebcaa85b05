"""Known-broken variants of the lab, each a patch from outside that breaks one rule: a check must be seen failing.

`planting` says what a mutant is, `hunt` looks for what catches it; the others are the mutants, by topic.
"""
