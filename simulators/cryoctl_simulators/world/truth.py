"""What the world tells afterwards, under the names of the run file's /simulation group."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl_simulators.world.dose_truth import KINDS, resample
from cryoctl_simulators.world.frame_log import image_of

if TYPE_CHECKING:
    from cryoctl_simulators.world.world import World


def tell(world: World, dose_grid: MapGrid, volume_grid: VolumeGrid | None) -> Mapping[str, Any]:
    """Paths below /simulation to arrays, numbers or texts.

    `dose_map_e_per_a2` holds what earlier runs left in this world, `dose_by_kind` this run's share alone. `shift_m`
    and `drift_m` have a row (dy, dx) for the first scan frame of each record exposure of this run, whose number is in
    `record_exposure`; the target is the centre of the volume grid, or the specimen's origin where there is none.
    `safe_order` names the acts that left a device safe since the beam was last open, the first first. `scan_frames` has
    a row for each scan frame of this run of any kind, however short.
    """
    world.open()
    if world.contact is not None:
        world.contact.look(world.latest_s)
    told: dict[str, Any] = {}
    total, everything = world.dose.on(dose_grid)
    told["dose_map_e_per_a2"] = total
    before = world.file.arrays["before"]
    for kind, one in everything.items():
        earlier = before[KINDS.index(kind)]
        if earlier.any():
            one = one - resample(np.asarray(earlier, dtype=np.float64), world.dose.grid, dose_grid)
        if one.any():
            told[f"dose_by_kind/{kind}"] = one
    told |= _shifts(world, volume_grid)
    blanking = world.column.blanking()
    told["blank/time_s"] = np.asarray(world.since_start(blanking[:, 0]))
    told["blank/open"] = blanking[:, 1].astype(bool)
    told |= {f"bias/{name}": values for name, values in _bias(world).items()}
    # HyperSpy can't read a file with an empty dataset.
    told |= {f"touch/{name}": values for name, values in _touches(world).items() if values.size}
    told |= {f"scan_frames/{name}": values for name, values in _scan_frames(world).items()}
    told["tilt_axis_deg"] = world.stage.hidden.tilt_axis_deg
    told["results/eucentric/grid_z_m"] = world.stage.hidden.eucentric_error_m
    told["safe_order"] = list(world.file.record["safe_order"])
    told |= {f"results/{name}": value for name, value in _results(world).items()}
    told |= {f"hidden/{name}": value for name, value in _hidden(world).items()}
    told |= {f"final/{name}": value for name, value in _final(world).items()}
    if volume_grid is not None:
        told |= world.sample.composition(volume_grid)
    return told


def _shifts(world: World, volume_grid: VolumeGrid | None) -> dict[str, Any]:
    log = world.frames.of_run()
    record = log["kind"] == KINDS.index("record")
    first = record & (log["index"] == 0) & (log["lines"] >= log["rows"] * (1 - 1e-9))
    x_m, y_m = (volume_grid.x_m, volume_grid.y_m) if volume_grid is not None else (0.0, 0.0)
    chosen = {name: values[first] for name, values in log.items()}
    shift = image_of(chosen, x_m, y_m)
    drift = np.stack([chosen["content_y_m"], chosen["content_x_m"]], axis=1)
    return {
        "shift_m": shift,
        "drift_m": drift - drift[:1] if len(drift) else drift,
        "record_exposure": chosen["exposure"].astype(np.int64),
        "true_tilt_deg": chosen["tilt_deg"],
        "true_current_a": chosen["current_a"],
    }


def _bias(world: World) -> dict[str, Any]:
    """Each act of the source in this run: when it truly was, and V and A at its terminals from then on."""
    acts = world.source.acts()
    times_s = world.since_start(acts[:, 0])
    own = times_s >= 0.0
    return {
        "time_s": times_s[own],
        "voltage_v": acts[own, 1],
        "current_a": acts[own, 2],
        "output_on": acts[own, 3].astype(bool),
    }


def _touches(world: World) -> dict[str, Any]:
    """Each time (s) from which the needle touches something (True) or nothing; the last 200."""
    touches = [] if world.contact is None else world.contact.record["touches"]
    times_s = [float(world.since_start(time_s)) for time_s, _ in touches]
    return {"time_s": np.array(times_s), "touching": np.array([what is not None for _, what in touches], dtype=bool)}


def _scan_frames(world: World) -> dict[str, Any]:
    """Which exposure the beam was opened for, when, where in the specimen's frame, and how many lines it scanned."""
    log = world.frames.of_run()
    return {
        "exposure": log["exposure"].astype(np.int64),
        "index": log["index"].astype(np.int64),
        "kind": [KINDS[int(kind)] for kind in log["kind"]],
        "time_s": np.asarray(world.since_start(log["time_s"])),
        "tilt_deg": log["tilt_deg"],
        "x_m": log["x_m"] + log["centre_x_m"] - log["content_x_m"],
        "y_m": log["y_m"] + (log["centre_y_m"] - log["content_y_m"]) / np.cos(np.radians(log["tilt_deg"])),
        "lines": log["lines"],
    }


def _results(world: World) -> dict[str, Any]:
    """What a run measures of specimen and needle; `particles` at the middles of this run's record frames."""
    log, rows = world.frames.of_run(), world.frames.numbers_of_run()
    chosen = log["kind"] == KINDS.index("record")
    times_s = np.asarray(world.since_start(log["middle_s"][chosen]))
    began_s = world.latest_s - float(world.since_start(world.latest_s))
    told = dict(world.sample.results(rows[chosen], times_s, world.latest_s, began_s))
    contact = world.contact
    if contact is None or not world.sample.has_cell:
        return told
    record = contact.record
    apex_z_m = record["met_m"][2] if record["met_m"] else float(contact.needle.apex_m(world.latest_s)[2])
    met = [touch for touch in record["touches"] if isinstance(touch[1], int)]
    parted = [touch for touch in record["touches"] if touch[1] is None]
    told |= {
        "eucentric/needle_z_m": world.stage.hidden.eucentric_error_m + apex_z_m,
        "contact/found": bool(met),
        "contact/time_s": float(world.since_start(met[0][0])) if met else math.nan,
        "contact/parted_s": float(world.since_start(parted[-1][0])) if parted else math.nan,
        "contact/max_overlap_m": float(record["max_overlap_m"]),
    }
    return told


def _hidden(world: World) -> dict[str, float]:
    stage, beam, bias = world.stage.hidden, world.column.hidden, world.source.hidden
    (a, b), (c, d) = beam.shift_matrix
    return {
        "backlash_m": stage.backlash_m,
        "drift_m_per_s": math.hypot(*stage.drift_m_per_s),
        "eucentric_error_m": stage.eucentric_error_m,
        "beam_current_error": beam.current_error,
        "current_measurement_error": beam.measure_error,
        "pixel_size_error": beam.pixel_error,
        "image_shift_xx": a,
        "image_shift_xy": b,
        "image_shift_yx": c,
        "image_shift_yy": d,
        "defocus_error_m": beam.defocus_error_m,
        "bias_clock_offset_s": bias.clock_offset_s,
        "bias_clock_drift_rel": bias.clock_drift_rel,
        "bias_offset_a": bias.offset_a,
        "light_calibration_error": world.lamp.hidden.calibration_error,
    }


def _final(world: World) -> dict[str, Any]:
    """State at the end; an absent device is off, at 0 V, clear."""
    record, contact = world.file.record, world.contact
    bias, needle = record["bias"], record["needle"]
    has_bias = any(device.kind == "bias" for device in world.devices.values())
    bias_on = has_bias and bool(bias["output_on"])
    return {
        "beam_blanked": bool(record["beam"]["blanked"]),
        "ion_beam_blanked": True,
        "bias_v": float(world.source.now(world.source.record["advanced_s"]).voltage_v[0]) if bias_on else 0.0,
        "output_on": bias_on,
        "output_mode": "on" if bias_on else (str(bias["off_mode"]) if has_bias else "absent"),
        "needle_gap_m": math.nan if contact is None else contact.gap_m(world.latest_s),
        "needle_state": "absent" if contact is None else needle["hold"],
        "needle_attached_to": "",
        "stage_moving": bool(record["stage"]["moving"]),
        "light_w_per_m2": world.lamp.true_w_per_m2,
        "valves_open": bool(record["beam"]["valves_open"]),
        "gas_open_s": 0.0,
        "collisions": 0 if contact is None else int(contact.record["collisions"]),
        "max_indentation_m": 0.0 if contact is None else float(contact.record["max_indentation_m"]),
        "needle_astray_m": 0.0 if contact is None else float(contact.record["astray_m"]),
        "collided_beyond_m": 0.0 if contact is None else float(contact.record["collided_beyond_m"]),
        "withdrawn_live": 0 if contact is None else int(contact.record["drawn_live"]),
    }
