"""Experiments as state machines that yield steps: pure, without I/O, time or randomness."""
