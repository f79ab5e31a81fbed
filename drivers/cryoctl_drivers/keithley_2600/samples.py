"""Samples as the script has told them so far."""

from __future__ import annotations

import numpy as np

from cryoctl_drivers.keithley_2600.answers import Report, Table


class Samples:
    """Without gaps from number `first` on.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.forget()

    def forget(self) -> None:
        self.first = 0
        self.rows: Table = np.zeros((0, 4))

    @property
    def end(self) -> int:
        """Number of the next one."""
        return self.first + len(self.rows)

    def take(self, report: Report) -> bool:
        """What a report tells; whether nothing is missing before it."""
        if report.total < self.end:  # it was switched off and on
            self.forget()
        if not len(self.rows):
            self.first = report.first
        if report.first > self.end:
            return False
        self.add(report.rows[self.end - report.first :])
        return True

    def add(self, rows: Table) -> None:
        self.rows = np.vstack([self.rows, rows])
        if (more := len(self.rows) - self._most) > 0:
            self.rows, self.first = self.rows[more:], self.first + more

    def skip_to(self, first: int) -> None:
        """What came before is overwritten."""
        if first > self.end:
            self.first, self.rows = first, np.zeros((0, 4))
