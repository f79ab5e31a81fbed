"""Devices that answer from recorded data, and the layouts of data that they read."""
