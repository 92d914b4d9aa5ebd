"""Benchmarks of quality and speed: ``python -m benchmarks --help``. Their tables are in docs/benchmark.md."""
