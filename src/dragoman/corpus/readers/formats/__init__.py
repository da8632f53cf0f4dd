"""Formats that several readers share, and in `plain` those that have verbs of their own."""
