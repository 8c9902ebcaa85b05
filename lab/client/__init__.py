"""Clients: sessions over links, requests with N outstanding, and histories of what was asked and answered."""
