"""Search: a query in any language in, hits out."""
