"""The HTTP service: collections in, an ASGI application out."""
