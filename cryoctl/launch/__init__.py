"""Puts a run together: recipe, instrument, protocol, engine and run file; what the command line and Python call."""
