"""Benchmarks by name: a published data set, prepared, trained on, measured, and set beside published rows."""

from dragoman.benchmarking.config import BenchmarkConfig
from dragoman.benchmarking.run import BenchmarkResult, run_benchmark

__all__ = ["BenchmarkConfig", "BenchmarkResult", "run_benchmark"]
