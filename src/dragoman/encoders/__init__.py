"""Names of before that stand in exported folders; nothing else belongs here."""
