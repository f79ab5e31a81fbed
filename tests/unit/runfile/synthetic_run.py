"""A run made by following the journal's description by hand, without the engine; small, seeded, and not at all real."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryoctl.runfile.event_store import EventStore
from cryoctl.runfile.frame_store import FrameStore
from cryoctl.runfile.journal import Journal
from cryoctl.runfile.writer import write_skeleton

LINES_EV = {"Si": 1740.0, "O": 525.0, "F": 677.0}


def head(shape=(24, 32), n_channels=256, scale_ev=20.0, grid=(80, 100), dense=True, limit=5e4):
    rows, columns = grid
    return {
        "format_version": 1,
        "run": "synthetic_1_001",
        "title": "Synthetic run",
        "protocol": "edx-tomography",
        "recipe": "schema_version: 1\nprotocol: edx-tomography\n",
        "recipe_source": "schema_version: 1\n",
        "instrument": "schema_version: 1\nname: simulated\n",
        "simulation": {"specimen": {"name": "nanowire"}},
        "software": {"cryoctl": "0.1.0", "scikit-image": "0.22", "numpy": np.__version__},
        "seed": 1,
        "utc": "2026-01-01T00:00:00+00:00",
        "specimen": "nanowire",
        "dose": {
            "grid": {
                "shape": [rows, columns],
                "pixel_size_m": 20e-9,
                "origin_x_m": -20e-9 * (columns // 2),
                "origin_y_m": -20e-9 * (rows // 2),
            },
            "limit_e_per_a2": limit,
            "prior": None,
        },
        "areas": {"record": {"x_m": 0.0, "y_m": 0.0, "width_m": shape[1] * 10e-9, "height_m": shape[0] * 10e-9}},
        "edx": {
            "n_channels": n_channels,
            "energy_offset_ev": 0.0,
            "energy_scale_ev": scale_ev,
            "elements": list(LINES_EV),
            "lines_ev": LINES_EV,
            "window_ev": 160.0,
            "dense": dense,
        },
        "image": {"shape": list(shape), "pixel_size_m": 10e-9, "tilt_axis_deg": 0.0},
        "voltage_v": 200e3,
        "durable": "process",
        "simulated": True,
        "facts": {},
    }


def synthetic_run(
    folder: Path,
    *,
    n_tilts=5,
    shape=(24, 32),
    n_channels=256,
    scale_ev=20.0,
    events_a_scan=500,
    scans=3,
    ended=True,
    crash_in_exposure=False,
    dense=True,
    seed=1,
    limit=5e4,
) -> Path:
    """Writes journal, segments, events and skeleton; returns the path of the (unpacked) run file."""
    rng = np.random.default_rng(seed)
    path = folder / "synthetic_1_001.nxs"
    parts = path.with_suffix(".parts")
    (parts / "frames").mkdir(parents=True)
    journal = Journal.create(parts / "journal.jsonl")
    frames, events = FrameStore(parts / "frames"), EventStore(parts / "edx_events.bin")
    start = head(shape, n_channels, scale_ev, dense=dense, limit=limit)
    journal.append("head", start, t=0.0, sync=True)
    write_skeleton(path, start)
    journal.append("session", {"start_s": 0.0, "reason": "start"}, t=0.0)
    journal.append("status", {"status": "running"}, t=0.0)
    journal.append("state", {"state": "tilting", "label": "Tilt series"}, t=0.5)
    time_s, exposure, cumulative, indices = 1.0, 0, 0.0, {}

    def expose(kind, stream, tilt, size, x_m, dose, with_edx, finish=True):
        nonlocal time_s, exposure, cumulative
        rows, columns = size
        row = {
            "time_s": time_s, "duration_s": 2.0, "kind": kind, "state": "tilting", "target": "T1", "area": kind,
            "stream": stream, "frame": -1, "tilt_deg": tilt, "x_m": x_m, "y_m": 0.0, "z_m": 0.0,
            "width_m": columns * 10e-9, "height_m": rows * 10e-9, "rotation_deg": 0.0, "defocus_m": 0.0,
            "beam_current_a": 1e-10, "charge_c": 2e-10, "dose_e_per_a2": dose,
            "cumulative_dose_e_per_a2": cumulative + dose, "bias_v": float("nan"), "bias_a": float("nan"),
            "temperature_k": 95.0, "outcome": "charged-in-full", "dose_source": "intended", "position_sigma_m": 10e-9,
            "image_shift_x_m": x_m, "image_shift_y_m": 0.0, "pixel_size_m": 10e-9, "shape": [rows, columns],
            "scans": scans,
        }  # fmt: skip
        stretch = 1 / np.cos(np.radians(tilt))
        deposits = [
            {"x_m": x_m, "y_m": 0.0, "width_m": columns * 10e-9, "height_m": float(rows * 10e-9 * stretch),
             "rotation_deg": 0.0, "dose_e_per_a2": dose}
        ]  # fmt: skip
        journal.append("intent", {"exposure": exposure, "row": row, "deposits": deposits}, t=time_s, sync=True)
        time_s += 2.0
        if not finish:
            return
        picture = rng.poisson(50, (scans, rows, columns)).astype(np.uint16)
        place = frames.append(stream, picture)
        index = indices.get(stream, 0)
        indices[stream] = index + 1
        record = {
            "stream": stream, "index": index, "exposure": exposure, "segment": place.segment, "slot": place.slot,
            "scans": scans, "sha256": place.sha256, "shifts_px": [[0.4 * s, -0.7 * s] for s in range(scans)],
            "edx": None,
        }  # fmt: skip
        if with_edx:
            told = []
            for _ in range(scans):
                n = int(rng.poisson(events_a_scan))
                pixel = np.sort(rng.integers(0, rows * columns, n)).astype(np.uint32)
                line = rng.choice(list(LINES_EV.values()), n) + rng.normal(0, 40, n)
                channel = np.clip(line / scale_ev, 0, n_channels - 1).astype(np.uint16)
                told.append((pixel, channel))
            block = events.append(told)
            record["edx"] = {
                "offset": block.offset, "bytes": block.bytes, "sha256": block.sha256,
                "counts": [len(pixel) for pixel, _ in told], "live_time_s": [0.6] * scans,
                "real_time_s": [0.7] * scans, "input_rate_per_s": [1e3] * scans,
            }  # fmt: skip
        journal.append("frame", record, t=time_s, sync=True)
        cumulative += dose
        done = {**row, "outcome": "settled", "dose_source": "measured", "frame": index if kind == "record" else -1}
        journal.append("exposed", {"exposure": exposure, "row": done, "deposits": deposits}, t=time_s, sync=True)
        journal.append("monitor", {"name": "temperature", "unit": "K", "value": 95.0}, t=time_s)
        exposure += 1

    tilts = [0.0]
    while len(tilts) < n_tilts:
        tilts += [3.0 * ((len(tilts) + 1) // 2), -3.0 * ((len(tilts) + 1) // 2)]
    expose("search", "search", 0.0, (16, 16), -700e-9, 1.0, False)
    for number, tilt in enumerate(tilts[:n_tilts]):
        expose("focus", "focus", tilt, (12 + 4 * (number % 2), 16), 600e-9, 5.0, False)
        expose("record", "image", tilt, shape, 0.0, 800.0, True)
        told = {"event": "decision", "level": "info", "name": "tilt", "message": f"{tilt:g} deg", "data": {}}
        journal.append("event", told, t=time_s)
    if crash_in_exposure:
        expose("record", "image", 30.0, shape, 0.0, 800.0, True, finish=False)
    if ended:
        journal.append("target", {"name": "T1", "outcome": "completed", "reason": ""}, t=time_s)
        journal.append(
            "conclusion", {"name": "eucentric", "values": {"grid_z_m": 1e-7, "grid_z_m_sigma": 2e-8}}, t=time_s
        )
        journal.append("status", {"status": "completed"}, t=time_s)
        end = {"status": "completed", "end_reason": "completed", "exit_code": 0, "message": "5 tilts done."}
        journal.append("end", end, t=time_s, sync=True)
    journal.close()
    frames.close()
    events.close()
    return path
