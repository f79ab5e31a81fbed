"""All that a 2600 is set to before its output is switched on."""

from __future__ import annotations

from cryoctl.interfaces.bias import BiasLimits
from cryoctl_drivers.keithley_2600.script import Script, Setting
from cryoctl_drivers.keithley_2600.settings import Keithley2600Settings

_ONCE = 1


def settings_of(script: Script, one: Keithley2600Settings) -> list[Setting]:
    """What readings depend on."""
    values: dict[str, int | float] = {
        "sense": int(one.wires == 4),
        "measure.nplc": one.integration_cycles,
        "measure.count": 1,
        "measure.delay": 0,
        "measure.filter.enable": 0,
        "measure.rel.enablei": 0,
        "measure.rel.enablev": 0,
        "measure.autorangei": 1,
        "measure.autorangev": 1,
        "measure.autozero": 0,
        "source.delay": 0,
        "source.highc": 0,
        "source.settling": 0,
        "source.autorangei": 1,
        "source.autorangev": 1,
    }
    return [Setting(script.of(path), value) for path, value in values.items()]


def limit_settings(script: Script, limits: BiasLimits) -> list[Setting]:
    values: dict[str, int | float] = {
        "source.func": 1,
        "source.levelv": 0.0,
        "source.leveli": 0.0,
        "source.limiti": limits.compliance_a,
        "source.limitv": limits.voltage_limit_v,
    }
    return [*(Setting(script.of(path), value) for path, value in values.items()), Setting("cryoctl.mark", 1)]


async def prepare(script: Script, one: Keithley2600Settings) -> None:
    """The output is off, no script runs; the error queue is empty afterwards."""
    await script.clear_errors()
    # Offset and gain are measured once, and kept.
    await script.tell(script.of(f"measure.autozero = {_ONCE}"))
    await script.make(*settings_of(script, one), Setting("cryoctl.patience", one.unattended_s or 0.0))
