"""What an earlier session of the same run exposed, and what it knew of the beam current, folded from its journal."""

from __future__ import annotations

from dataclasses import replace

from cryoctl.dose.current import KnownCurrent, nominal
from cryoctl.dose.ledger import Deposit
from cryoctl.engine.beam_current import RISING, Charged
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.fold import RunFold
from cryoctl.steps import CurrentMeasured
from cryoctl.steps.codec import decode, plain


def charged_before(fold: RunFold) -> list[Charged]:
    """Every exposure as it stands in the ledger; one under way at the end in full, as intended."""
    return [_charged(fold, index) for index in sorted(fold.exposures)]


def current_before(fold: RunFold, run_began_s: float) -> tuple[KnownCurrent | None, list[Charged]]:
    """The current as it was last measured with the optics last used, and the exposures made since.

    Args:
        run_began_s: the loop's time at which the run's own time was 0.
    """
    known: KnownCurrent | None = None
    used_s = run_began_s
    since: list[Charged] = []
    for step in fold.steps.values():
        match step.step.get("is"):
            case "UseOptics":
                known, since, used_s = None, [], run_began_s + step.began_s
            case "MeasureCurrent" if step.outcome == "done":
                measured = decode(step.result)
                assert isinstance(measured, CurrentMeasured)
                known = KnownCurrent(
                    current_a=measured.current_a,
                    sigma_rel=measured.sigma_rel,
                    time_s=run_began_s + measured.time_s,
                    measured=True,
                )
                since = []
            case "Expose" if step.exposure is not None:
                charged = _charged(fold, step.exposure)
                if fold.exposures[step.exposure].done:  # else its intent holds it already
                    ended_s = run_began_s + number(charged.row.get("time_s")) + number(charged.row.get("duration_s"))
                    unseen_rel = (known or nominal(0.0, used_s)).unseen_rel(ended_s)
                    charged = replace(charged, unseen_rel=unseen_rel)
                since.append(charged)
            case _:
                pass
    return known, since


def charge_at_worst(fold: RunFold) -> None:
    """Exposures since the last measurement of the current, which nobody makes any more, as if it had risen unseen by as
    much as it can have: what a run that comes to its end does itself."""
    if fold.end is not None:
        return
    for one in current_before(fold, 0.0)[1]:
        exposure, factor = fold.exposures[one.exposure], 1 + one.unseen_rel
        risen = {name: number(exposure.row.get(name)) * factor for name in RISING}
        exposure.row |= risen
        exposure.deposits += [plain(more) for more in one.more(factor)]


def _charged(fold: RunFold, index: int) -> Charged:
    exposure = fold.exposures[index]
    row = exposure.row
    return Charged(
        exposure=index,
        kind=str(row.get("kind", "")),
        position_sigma_m=number(row.get("position_sigma_m")),
        upper_current_a=number(row.get("upper_current_a")),
        row=dict(row),
        deposits=tuple(
            Deposit(**{name: number(value) for name, value in rectangle.items()}) for rectangle in exposure.deposits
        ),
    )
