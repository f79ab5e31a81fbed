"""`devices` and `faults`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say
from cryoctl.errors import BadInput

app = typer.Typer(rich_markup_mode=None)


@app.command("devices")
def devices(
    instrument: Annotated[
        str, typer.Option("--instrument", metavar="FILE", help="Instrument file or bundled name.")
    ] = "simulated",
    check: Annotated[
        bool, typer.Option("--check", help="Connect, and hold each device against the contract of its kind.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="With --check: this device alone (repeatable).")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --check: agree to all that moves, switches or exposes.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Devices of an instrument file with their limits, and the installed drivers; nothing is connected.

    With --check they are connected and checked, asking before anything moves; exit code 1 if a check fails.
    """
    if check:
        raise typer.Exit(_checked(instrument, tuple(only or ()), yes=yes, json=json, quiet=quiet))
    if only or yes:
        raise BadInput("devices: --only and --yes go with --check; add it, or leave them out")
    from cryoctl import registry
    from cryoctl.launch.inventory import drivers, emulators, instrument_inventory

    inventory = instrument_inventory(instrument)
    installed, emulated = drivers(), emulators()
    bundled = list(registry.names("cryoctl.instruments"))
    if json:
        put_json({"exit_code": 0, **inventory, "drivers": installed, "emulators": emulated, "instruments": bundled})
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
    put("instruments that can be emulated at their wire")
    for one in emulated:
        put(f"  {one['model']:<28} {one['problem'] or one['kind']}")
    put(f"bundled instrument files: {', '.join(bundled)}")


def _checked(instrument: str, only: tuple[str, ...], *, yes: bool, json: bool, quiet: bool) -> int:
    from cryoctl.testing.connected import FAILED, PASSED, SKIPPED, Checked, check_devices

    agreed: dict[tuple[str, str], bool] = {}

    def asked(device: str, name: str, does: str) -> bool:
        """Once a device and a thing done."""
        del name
        if yes or not sys.stdin.isatty():
            return yes
        if (device, does) not in agreed:
            agreed[device, does] = typer.confirm(f"{device}: the next check {does}; may it?", default=False, err=True)
        return agreed[device, does]

    def told(one: Checked) -> None:
        if not json and (one.outcome == FAILED or not quiet):
            put(f"{_OUTCOMES[one.outcome]}  {one.device}: {one.check}" + (f": {one.detail}" if one.detail else ""))

    found = check_devices(instrument, only, asked, told)
    count = {outcome: sum(one.outcome == outcome for one in found) for outcome in (PASSED, FAILED, SKIPPED)}
    code = 1 if count[FAILED] else 0
    if json:
        checks = [
            {"device": one.device, "check": one.check, "outcome": one.outcome, "detail": one.detail} for one in found
        ]
        put_json({"exit_code": code, "ok": code == 0, "checks": checks})
        return code
    put(f"{instrument}: " + ", ".join(f"{number} {outcome}" for outcome, number in count.items() if number))
    if count[SKIPPED] and not yes:
        say("what moves, switches or exposes was not agreed to; --yes agrees to all of it")
    return code


_OUTCOMES = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}


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
