"""What cryoctl asks of a device, a file a device kind; verbs are few, async, and carry their unit in the name."""
