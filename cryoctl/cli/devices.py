"""`devices` and `faults`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json

app = typer.Typer(rich_markup_mode=None)


@app.command("devices")
def devices(
    instrument: Annotated[
        str, typer.Option("--instrument", metavar="FILE", help="Instrument file or bundled name.")
    ] = "simulated",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Devices of an instrument file with their limits, and the installed drivers; nothing is connected."""
    from cryoctl import registry
    from cryoctl.launch.inventory import drivers, instrument_inventory

    inventory = instrument_inventory(instrument)
    installed = drivers()
    bundled = list(registry.names("cryoctl.instruments"))
    if json:
        put_json({"exit_code": 0, **inventory, "drivers": installed, "instruments": bundled})
        return
    put(f"instrument {inventory['instrument']} ({inventory['clock']} time)")
    for device in inventory["devices"]:
        put(f"  {device['name']:<12} {device['kind'].replace('_', ' '):<15} {device['driver']}")
        if not quiet:
            for name, text in limit_lines(device["limits"]):
                put(f"  {'':<12} {name:<26} {text}")
    if quiet:
        return
    put("drivers installed")
    for one in installed:
        put(f"  {one['driver']:<28} {one['problem'] or one['kind']}")
    put(f"bundled instrument files: {', '.join(bundled)}")


def limit_lines(limits: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Name and text of each limit, nested ones with their group's name before."""
    lines: list[tuple[str, str]] = []
    for name, value in limits.items():
        if isinstance(value, Mapping):
            lines += limit_lines(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
            lines.append((prefix + name, f"{value[0]:g} to {value[1]:g}"))
        elif isinstance(value, list | tuple):
            lines.append((prefix + name, ", ".join(_one(v) for v in value)))
        else:
            lines.append((prefix + name, _one(value)))
    return lines


def _one(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    return f"{value:g}" if isinstance(value, int | float) else str(value)


@app.command("faults")
def faults(json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Faults that `--faults FILE` can inject, and how such a file looks."""
    from cryoctl.launch.inventory import faults as known

    found = known()
    if json:
        put_json({"exit_code": 0, "faults": found})
        return
    for one in found:
        given = ", ".join(f"{name}: {value:g}" for name, value in one["parameters"].items())
        put(f"{one['device']:<15} {one['fault']:<24} {one['happens']}" + (f" ({given})" if given else ""))
    if not quiet and found:
        first = found[0]
        put("")
        put("a file for --faults:")
        put(f"- {{device: {first['device']}, fault: {first['fault']}, at: {{state: tilt, visit: 3}}, for_s: 10}}")
        put("  (at: one of time_s, exposure, or state with visit; without for_s a fault acts once)")
