"""The HTTP service: collections in, an ASGI application out; and tools for assistants."""
