"""What a scan does to the specimen: the rectangles that receive dose."""

from __future__ import annotations

import math
from dataclasses import replace

from cryoctl.dose.ledger import Deposit
from cryoctl.interfaces.beam import Scan, ScanTiming
from cryoctl.interfaces.scan_cost import scan_cost
from cryoctl.units.constants import dose_e_per_a2


def footprint(
    scan: Scan,
    timing: ScanTiming,
    *,
    x_m: float,
    y_m: float,
    tilt_deg: float,
    current_a: float,
    size: tuple[float, float] = (1.0, 1.0),
) -> tuple[Deposit, ...]:
    """Rectangles on the specimen plane charged by a scan centred at (x_m, y_m) of the specimen's frame.

    Args:
        scan, timing: what is scanned, and how the generator treats the ends of lines.
        tilt_deg: stretches the footprint by 1/cos across the axis; the fluence stays beam-normal.
        current_a: the current to charge (upper bound).
        size: of what is scanned along and across the lines, over what was asked for: less than 1 where pixels may be
            smaller than calibrated, or where the specimen drifts with the slow scan; the charge then lies denser.

    Returns:
        The field, and the overscan strip before its first column where there is one.
    """
    rows, columns = scan.shape
    cost = scan_cost(scan, timing)
    stretch = 1.0 / math.cos(math.radians(tilt_deg))
    width_m, height_m = columns * scan.pixel_size_m * size[0], rows * scan.pixel_size_m * size[1]
    strip_m = timing.settle_px * scan.pixel_size_m * size[0]
    # Without a strip to settle in, a beam that is on between the lines is on the field.
    on_field_s = cost.field_s if strip_m > 0 else cost.beam_on_s
    field = Deposit(
        x_m=x_m,
        y_m=y_m,
        width_m=width_m,
        height_m=height_m * stretch,
        rotation_deg=scan.rotation_deg,
        dose_e_per_a2=dose_e_per_a2(current_a, on_field_s, width_m * height_m),
    )
    if strip_m <= 0 or cost.strip_s <= 0:
        return (field,)
    offset_m = (width_m + strip_m) / 2
    angle = math.radians(scan.rotation_deg)
    strip = Deposit(
        x_m=x_m - offset_m * math.cos(angle),
        y_m=y_m - offset_m * math.sin(angle) * stretch,
        width_m=strip_m,
        height_m=height_m * stretch,
        rotation_deg=scan.rotation_deg,
        dose_e_per_a2=dose_e_per_a2(current_a, cost.strip_s, strip_m * height_m),
    )
    return (field, strip)


def partial_footprint(
    scan: Scan,
    timing: ScanTiming,
    *,
    x_m: float,
    y_m: float,
    tilt_deg: float,
    current_a: float,
    beam_on_s: float,
    extra_s: float,
    size: tuple[float, float] = (1.0, 1.0),
    least_height_m: float = 0.0,
) -> tuple[Deposit, ...]:
    """Rectangles charged by a scan that was stopped after `beam_on_s` of beam (field and strip together).

    Whole scan frames are charged everywhere; of the frame under way, the lines done and one more, and so many that they
    are no lower than `least_height_m` (beam-normal). `extra_s` (the blanker's latency) and what a scan frame has
    besides its lines are charged over the whole field: where the beam stood meanwhile is not known.
    """
    rows, columns = scan.shape
    # At most so many lines: all of the time may have gone into them, none into what a scan frame has besides.
    line_on_s = (scan_cost(scan, timing).beam_on_s - timing.frame_s * scan.scans) / (rows * scan.scans)
    lines = min(rows * scan.scans, math.ceil(beam_on_s / line_on_s - 1e-9) + 1)
    whole, rest = divmod(lines, rows)
    if rest:
        rest = min(rows, max(rest, math.ceil(least_height_m / (scan.pixel_size_m * size[1]) - 1e-9)))

    def part(scans: int, part_rows: int, centre_rows: float) -> tuple[Deposit, ...]:
        piece = replace(scan, shape=(part_rows, columns), scans=scans)
        angle = math.radians(scan.rotation_deg)
        along_m = centre_rows * scan.pixel_size_m
        return footprint(
            piece,
            timing,
            x_m=x_m - along_m * math.sin(angle),
            y_m=y_m + along_m * math.cos(angle) / math.cos(math.radians(tilt_deg)),
            tilt_deg=tilt_deg,
            current_a=current_a,
            size=size,
        )

    field = footprint(scan, timing, x_m=x_m, y_m=y_m, tilt_deg=tilt_deg, current_a=current_a, size=size)[0]
    area_m2 = rows * columns * scan.pixel_size_m**2
    late_s = extra_s
    if timing.frame_s:  # before its first line a beam that was opened is anywhere in the field, maybe all the time
        late_s += max(timing.frame_s, beam_on_s - whole * rows * line_on_s)
    late = replace(field, dose_e_per_a2=dose_e_per_a2(current_a, late_s, area_m2))
    deposits: tuple[Deposit, ...] = ()
    if whole:
        deposits += part(whole, rows, 0.0)
    if rest:
        deposits += part(1, rest, (rest - rows) / 2)
    return (*deposits, late)
