"""The command line: thin shells over `cryoctl.launch` and the run file; each command loaded on demand."""
