"""Drivers of real instruments, a file or a folder an instrument, found by the entry points `cryoctl.devices`.

Each has a link (`cryoctl_drivers.link`) and keeps the contract suite of its kind (`cryoctl.testing`).
"""
