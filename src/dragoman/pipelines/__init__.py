"""The whole way, from captions to a report: experiments, the demonstration, benchmarks by name."""
