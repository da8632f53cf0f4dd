"""The whole way, from captions to a report: the demonstration, and benchmarks by name."""
