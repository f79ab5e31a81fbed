"""Emulators of instruments at their wire: real bytes over TCP or a pseudo-terminal, answered by the simulated world.

A driver can't tell one from the instrument, quirks and faults of the line included. Found by the entry points
`cryoctl.emulators`; in an instrument file: `emulator: {model: NAME, settings: {...}}` beside a device's own settings.
"""
