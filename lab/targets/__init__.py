"""One interface over what can be measured; `own` is the lab's ensemble, others come beside it."""
