"""The embedded store: entries in SQLite and vectors in a mapped file, in a folder of its own."""
