"""`python -m cryoctl` is the command `cryoctl`."""

from __future__ import annotations

from cryoctl.cli.main import main

if __name__ == "__main__":
    main()
