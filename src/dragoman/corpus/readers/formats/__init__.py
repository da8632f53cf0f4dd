"""Formats that several readers share, and those that have verbs of their own: csv, jsonl, folder."""
