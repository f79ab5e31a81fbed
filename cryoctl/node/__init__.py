"""The node: owns the devices on the instrument's PC and lets one runner at a time drive them from another PC."""
