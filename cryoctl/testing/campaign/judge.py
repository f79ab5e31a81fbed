"""What must never be: rules on what a case left behind, each a pure function that says what it found, or nothing.

They know nothing of the runner. Dose, blanking, bias and needle are the world's own; what was acknowledged is what the
event lines told; what stands in the file is read from the file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoctl.testing.campaign.endings import EXIT_CODES, allowed_endings, hinders_blanking, parts_needle

_RELATIVE = 1e-9
_WORLD_RELATIVE = 1e-6
"""The world keeps its dose in 32 bits."""
_CLEAR_M = 2e-6
_SAME_TILT_DEG = 0.2
_NEAR_M = 1e-6
_LONGEST_MESSAGE = 300
_LIMIT_CHECKS = ("dose limit: ", "ledger against truth: the true dose reached ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A record frame as an event line told it."""

    frame: int
    exposure: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An exposure in the world's own log: its number and kind, where it truly lay and at which tilt."""

    exposure: int
    kind: str
    tilt_deg: float
    x_m: float
    y_m: float

    def again(self, other: Opened) -> bool:
        """Whether the other one is of the same place at the same tilt."""
        apart_m = math.hypot(self.x_m - other.x_m, self.y_m - other.y_m)
        return self.kind == other.kind and abs(self.tilt_deg - other.tilt_deg) < _SAME_TILT_DEG and apart_m < _NEAR_M


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one case left; doses in e-/A^2.

    `end_reason` is empty where a run never began (its device didn't answer), `run_file` then too. `ledger_above_truth`
    is the least difference of dilated ledger and true dose. `in_file` are the file's sha256 by frame. `final` holds
    what the world says of the end (contract.md, `/simulation/final`), `beam_open` what its blanking log says.
    """

    exit_code: int
    end_reason: str
    message: str = ""
    crash: str = ""
    exposed: bool = True
    run_file: str = ""
    unreadable: str = ""
    failed_checks: tuple[str, ...] = ()
    limit_e_per_a2: float = math.inf
    true_peak_e_per_a2: float = 0.0
    ledger_above_truth_e_per_a2: float = 0.0
    beam_open: bool = False
    final: Mapping[str, Any] = field(default_factory=dict[str, Any])
    acknowledged: tuple[Acknowledged, ...] = ()
    in_file: Mapping[int, str] = field(default_factory=dict[int, str])
    opened: tuple[Opened, ...] = ()
    in_table: frozenset[int] = frozenset()
    faults: tuple[Mapping[str, Any], ...] = ()
    commands: tuple[str, ...] = ()
    bias_paused: bool = False
    """A pause had brought a source to rest that was on."""
    bias_back_after: str = ""
    """What had taken the bias off, unasked, before the run switched it on again; empty where that never was."""
    bias_came_on: int = 0
    """How often the source's output truly came on."""
    bias_told_on: int = 0
    """The same as the file's events tell it."""
    drives_current: bool = False
    """The recipe's waveform sets a current."""
    probe_v: float = math.inf
    """The recipe's: no more before a contact."""
    biased_untouched_v: float = 0.0
    """Largest voltage of a bias that was switched on while the needle truly touched nothing."""
    max_indentation_m: float = math.inf
    """The recipe's."""
    each_tilt_once: bool = True
    """The recipe names tilts; a series in time records one tilt again and again."""
    kills: int = 0
    """How often its process was ended by SIGKILL."""


def no_crash(of: Evidence) -> str:
    return f"it met an error of its own: {of.crash}" if of.crash else ""


def dose_within_limit(of: Evidence) -> str:
    """Where both ways of stopping the beam failed the run says so by exit 6; nothing else excuses."""
    over = of.true_peak_e_per_a2 > of.limit_e_per_a2 * (1 + _RELATIVE)
    if not over or (of.exit_code == 6 and hinders_blanking(of.faults)):
        return ""
    return f"true dose reached {of.true_peak_e_per_a2:.6g} e-/A^2, the limit is {of.limit_e_per_a2:.6g} e-/A^2"


def ledger_not_below_truth(of: Evidence) -> str:
    if of.ledger_above_truth_e_per_a2 >= -_WORLD_RELATIVE * max(of.true_peak_e_per_a2, 1.0):
        return ""
    return f"the dilated ledger lies {-of.ledger_above_truth_e_per_a2:.4g} e-/A^2 below the truth somewhere"


def beams_off(of: Evidence) -> str:
    final = of.final
    if not final.get("ion_beam_blanked", True):
        return "the ion beam is not blanked at the end"
    excused = of.exit_code == 6 and hinders_blanking(of.faults)
    if final["beam_blanked"]:
        return "the world's blanking log ends with an open beam" if of.beam_open and not excused else ""
    if final["valves_open"] and not excused:
        return "the beam is open at the end, neither blanked nor behind a closed valve"
    if not hinders_blanking(of.faults):
        return "the beam is not blanked at the end although no fault hindered the blanker"
    return ""


def _forgot(of: Evidence, device: str) -> bool:
    """It was restarted behind a link that was lost."""
    return any(one["device"] == device and one["fault"] == "lost-link" and one.get("forgets") for one in of.faults)


def bias_at_rest(of: Evidence) -> str:
    final = of.final
    resting = not final["output_on"] and final["bias_v"] == 0.0 and final["output_mode"] in ("high-impedance", "absent")
    if resting or _unconfirmed(of, "bias"):
        return ""
    off = not final["output_on"] and final["bias_v"] == 0.0
    if off and of.exit_code == 5 and _forgot(of, "bias"):  # switched on anew where nobody reaches it
        return ""
    return f"the source rests at {final['bias_v']:g} V with its output {final['output_mode']}"


def bias_stays_off(of: Evidence) -> str:
    """A bias that a pause, an interlock, a fault or a kill has taken off never comes back by itself."""
    if of.bias_back_after:
        return f"the source was switched on again after its output had gone off ({of.bias_back_after})"
    if of.run_file and not of.unreadable and of.bias_came_on > of.bias_told_on:
        return f"the source's output came on {of.bias_came_on} times, the run tells {of.bias_told_on}"
    return ""


def light_off(of: Evidence) -> str:
    """After any end; a lamp that does not obey is told by exit 5 or 6."""
    light_w_per_m2 = float(of.final.get("light_w_per_m2", 0.0))
    told = of.exit_code in (5, 6) and any(one["device"] == "light" for one in of.faults)
    return "" if light_w_per_m2 == 0.0 or told else f"the light is on at the end, {light_w_per_m2:.3g} W/m2"


def needle_never_collides(of: Evidence) -> str:
    """No coarse step into matter and no stage move in contact, but as deep as faults had brought the apex nearer."""
    collisions, beyond_m = of.final["collisions"], float(of.final.get("collided_beyond_m", 0.0))
    if not collisions or beyond_m <= 0.0:
        return ""
    return f"the needle collided {collisions} times, {beyond_m:.3g} m deeper than faults had brought it"


def needle_pushes_no_deeper(of: Evidence) -> str:
    """Than the recipe allows, and what faults came nearer."""
    found_m = float(of.final.get("max_indentation_m", 0.0))
    allowed_m = of.max_indentation_m + float(of.final.get("needle_astray_m", 0.0))
    return "" if found_m <= allowed_m else f"the needle was {found_m:.3g} m deep, allowed are {allowed_m:.3g} m"


def needle_clear_or_held(of: Evidence) -> str:
    """Whether a drive that stands still had really withdrawn it, nothing but a picture tells."""
    final = of.final
    state, gap_m = final["needle_state"], float(final["needle_gap_m"])
    if state in ("absent", "bonded", "carrying", "held") or _unconfirmed(of, "needle", "bias"):
        return ""
    if any((one["device"], one["fault"]) == ("needle", "stuck") for one in of.faults):
        return ""
    if state == "free" and gap_m >= _CLEAR_M:
        return ""
    return f"the needle ends {state} at a gap of {gap_m:.3g} m, wanted is free and {_CLEAR_M:g} m or more"


def withdrawn_at_rest(of: Evidence) -> str:
    """The source's output is off before the needle leaves, but where the source itself fails."""
    times = of.final.get("withdrawn_live", 0)
    if not times or any(one["device"] == "bias" for one in of.faults):
        return ""
    return f"the needle was withdrawn {times} times with the source's output on"


def biased_in_contact(of: Evidence) -> str:
    """No output comes on above the recipe's `probe_v` unless the needle touches, or a fault can have parted it."""
    if of.biased_untouched_v <= of.probe_v or parts_needle(of.faults):
        return ""
    return f"{of.biased_untouched_v:.3g} V were switched on without contact, allowed are {of.probe_v:.3g} V"


def stage_stands(of: Evidence) -> str:
    return "the stage moves at the end" if of.final["stage_moving"] and of.exit_code != 6 else ""


def no_acknowledged_frame_lost(of: Evidence) -> str:
    for one in of.acknowledged:
        if of.in_file.get(one.frame) != one.sha256:
            found = "is not in the file" if one.frame not in of.in_file else "has other data in the file"
            return f"frame {one.frame} of exposure {one.exposure} was acknowledged and {found}"
    return ""


def file_opens(of: Evidence) -> str:
    if of.unreadable:
        return f"the run file can't be opened: {of.unreadable}"
    return "the specimen was exposed and there is no run file" if of.exposed and not of.run_file else ""


def check_passes(of: Evidence) -> str:
    """`check` says no to a dose above the limit, which exit 6 has told already."""
    told = of.exit_code == 6 and hinders_blanking(of.faults)
    failed = [one for one in of.failed_checks if not (told and one.startswith(_LIMIT_CHECKS) and "limit" in one)]
    return f"check: {'; '.join(failed)}" if failed else ""


def ending_fits(of: Evidence) -> str:
    """Exit code and end reason agree, and what was done to the run allows them."""
    if len(of.message) > _LONGEST_MESSAGE or "\n" in of.message:
        return f"its message is no sentence of up to {_LONGEST_MESSAGE} characters: {of.message[:80]!r}"
    if of.crash:
        return ""
    if not of.end_reason:
        never_began = not of.exposed and of.exit_code == 5 and bool(of.faults)
        return "" if never_began else f"it ended with exit {of.exit_code} and no end reason: {of.message}"
    if EXIT_CODES.get(of.end_reason) != of.exit_code:
        return f"it ended with exit {of.exit_code} and reason {of.end_reason}, which don't belong together"
    if of.kills and not of.faults and not of.commands and of.exit_code not in (0, 4):
        return f"killed and resumed it ended with exit {of.exit_code} ({of.end_reason}): {of.message}"
    allowed = allowed_endings(of.faults, of.commands) | ({"operator"} if of.bias_paused else set[str]())
    if of.drives_current and "interlock compliance" in of.message:  # more than the specimen passes
        allowed |= {"interlock"}
    if of.end_reason not in allowed and not (of.kills and of.end_reason == "target-lost"):
        wanted = ", ".join(sorted(allowed))
        return f"it ended by {of.end_reason} ({of.message}), these faults and commands allow {wanted}"
    return ""


def every_exposure_has_its_row(of: Evidence) -> str:
    """No dose is under-counted by being left out: what the world saw opened stands in the exposure table."""
    missing = sorted({one.exposure for one in of.opened} - of.in_table)
    return f"exposure {missing[0]} of the world's log has no row in the exposure table" if missing else ""


def nothing_settled_is_exposed_again(of: Evidence) -> str:
    """An exposure whose frame was acknowledged is opened once; in a series of tilts its tilt is not recorded again."""
    settled = {one.exposure for one in of.acknowledged}
    for exposure, times in Counter(one.exposure for one in of.opened).items():
        if times > 1 and exposure in settled:
            return f"exposure {exposure} was settled and the beam was opened {times} times for it"
    if not of.kills or not of.each_tilt_once:
        return ""
    records = [one for one in of.opened if one.kind == "record"]
    for number, one in enumerate(records):
        for later in records[number + 1 :]:
            if one.exposure in settled and later.again(one):
                return (
                    f"exposure {later.exposure} repeats the tilt of {one.tilt_deg:.2f} deg, settled by {one.exposure}"
                )
    return ""


def _unconfirmed(of: Evidence, *devices: str) -> bool:
    return of.exit_code == 6 and any(one["device"] in devices for one in of.faults)


Rule = Callable[[Evidence], str]

RULES: tuple[Rule, ...] = (
    no_crash,
    file_opens,
    dose_within_limit,
    ledger_not_below_truth,
    no_acknowledged_frame_lost,
    check_passes,
    every_exposure_has_its_row,
    nothing_settled_is_exposed_again,
    biased_in_contact,
    bias_stays_off,
    ending_fits,
)
_OF_THE_END: tuple[Rule, ...] = (
    beams_off,
    bias_at_rest,
    light_off,
    withdrawn_at_rest,
    needle_never_collides,
    needle_pushes_no_deeper,
    needle_clear_or_held,
    stage_stands,
)
"""Rules on `final`, which a world that was never opened has not."""


def judge(of: Evidence) -> tuple[str, ...]:
    """Sentences on what is wrong; empty where every rule holds."""
    rules = (*RULES, *_OF_THE_END) if of.final else RULES
    return tuple(found for rule in rules if (found := rule(of)))
