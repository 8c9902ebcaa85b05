"""From trial records to figures, sentences and pages.  Opens files, never a cluster."""
