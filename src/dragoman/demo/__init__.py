"""The whole way on the generated world: translate, score, train, evaluate, look."""

from dragoman.demo.run import SMALLEST, DemoConfig, DemoResult, run_demo

__all__ = ["SMALLEST", "DemoConfig", "DemoResult", "run_demo"]
