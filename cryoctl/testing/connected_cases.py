"""Collected by pytest for `cryoctl devices --check`; holds nothing of its own."""

from __future__ import annotations

from cryoctl.testing.connected import underway

globals().update(underway())
