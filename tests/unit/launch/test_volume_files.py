from __future__ import annotations

import csv
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.measure import measure_elongation, measure_fsc, write_measured
from cryoctl.launch.volume_files import read_stack


def wire(stretch: float = 1.5, n: int = 48, n_x: int = 16) -> np.ndarray:
    z, y = np.mgrid[:n, :n] - (n - 1) / 2
    section = np.exp(-((z / (6 * stretch)) ** 2 + (y / 6) ** 2))
    return np.repeat(section[:, :, None], n_x, axis=2).astype(np.float32)


def test_a_drawn_out_wire_is_measured_from_a_plain_array(tmp_path: Path) -> None:
    np.save(tmp_path / "wire.npy", wire(1.5))
    found = measure_elongation(tmp_path / "wire.npy", pixel_size_m=1e-8)["elongation"]["wire"]
    assert found["ratio"] == pytest.approx(1.5, rel=0.03)
    assert found["across_m"] == pytest.approx(2 * 6e-8 * np.sqrt(np.log(2)), rel=0.12)  # profiles average a band


def test_mrc_tells_its_own_pixel_size(tmp_path: Path) -> None:
    volume = wire()
    nz, ny, nx = volume.shape
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, nx, ny, nz, 2)
    struct.pack_into("<3f", header, 40, nx * 20.0, ny * 20.0, nz * 20.0)
    header[208:212], header[212:214] = b"MAP ", b"\x44\x44"
    path = tmp_path / "wire.mrc"
    path.write_bytes(bytes(header) + volume.tobytes())
    stack = read_stack(path, None)
    assert stack.voxel_size_m == pytest.approx(2e-9)
    assert np.array_equal(stack.data, volume)


def test_half_data_of_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    halves = np.stack([wire() + rng.normal(0, 0.05, wire().shape) for _ in range(2)])
    np.save(tmp_path / "halves.npy", halves)
    found = measure_fsc(tmp_path / "halves.npy", pixel_size_m=1e-8)["fsc"]["halves"]
    assert 2e-8 <= found["shell"]["resolution_m"] < 3e-7


@pytest.mark.parametrize(
    ("name", "content", "kind", "sentence"),
    [
        ("none.npy", None, FileProblem, "does not exist"),
        ("bad.npy", b"nonsense", FileProblem, "can't be read"),
        ("short.mrc", b"1234", FileProblem, "can't be read"),
        ("what.xyz", b"1234", FileProblem, "kind is not known"),
    ],
)
def test_other_files_are_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, kind: type[Exception], sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=sentence):
        read_stack(tmp_path / name, 1e-8)


def test_without_a_pixel_size_nothing_is_measured(tmp_path: Path) -> None:
    np.save(tmp_path / "wire.npy", wire())
    with pytest.raises(BadInput, match="--pixel-size"):
        measure_elongation(tmp_path / "wire.npy")


def test_measured_values_as_json_and_csv_never_over_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "wire.npy", wire())
    measured = measure_elongation(tmp_path / "wire.npy", pixel_size_m=1e-8)
    write_measured(tmp_path / "a.json", measured)
    assert json.loads((tmp_path / "a.json").read_text())["elongation"]["wire"]["ratio"] > 1
    write_measured(tmp_path / "a.csv", measured)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert {row["quantity"] for row in rows} >= {"ratio", "ratio_sigma", "across_m"}
    with pytest.raises(FileProblem, match="already"):
        write_measured(tmp_path / "a.csv", measured)
