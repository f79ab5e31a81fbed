"""What a case plays: a small random recipe, an instrument with its own column valve, and what an operator asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from cryoctl import registry
from cryoctl.errors import BadInput
from cryoctl.instrument import load_instrument
from cryoctl.launch.prepare import DEFAULT_INSTRUMENT

Recipe = Mapping[str, Any]
RecipeDraw = Callable[[Random], Recipe]
"""An entry point of `cryoctl.campaign_recipes`, under the name of its protocol: the fields of a small recipe."""

_ROUNDS: Mapping[str, int] = {"chip-biasing": 4}
"""By protocol: in one of so many rounds of all protocols it has its turn, where not in each."""
_HOW_MANY_COMMANDS = (*[0] * 7, *[1] * 2, 2)
_COMMANDS = ("pause", "pause", "skip", "stop-after", "abort")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recipe before its faults: these hang on how long it takes and on the states that it goes through.

    `overrides` are `--set` texts.
    """

    seed: int
    protocol: str
    recipe: Recipe
    overrides: tuple[str, ...]

    def kinds(self) -> frozenset[str]:
        """Of the devices of its instrument."""
        file = load_instrument(self.recipe.get("instrument", DEFAULT_INSTRUMENT)).file
        return frozenset(entry.kind for entry in file.devices.values())


def protocols(wanted: str = "") -> tuple[str, ...]:
    """Protocols that a campaign can play, sorted, or the one that is wanted.

    Raises:
        BadInput: there is no such protocol, or it offers no small recipes.
    """
    offered = registry.names("cryoctl.campaign_recipes")
    if not wanted:
        return offered
    registry.find("cryoctl.protocols", wanted)
    if wanted not in offered:
        raise BadInput(
            f"--protocol {wanted}: it offers no small recipes; there are those of {', '.join(offered) or 'none'}: add "
            "an entry point of cryoctl.campaign_recipes"
        )
    return (wanted,)


def plan_of(seed: int, among: Sequence[str]) -> Plan:
    """The same for the same seed and protocol, whichever other protocols there are."""
    turns = _turns(among)
    protocol = turns[seed % len(turns)]
    draw = cast(RecipeDraw, registry.find("cryoctl.campaign_recipes", protocol))
    recipe = {"schema_version": 1, "protocol": protocol, **draw(chance(seed, protocol, "recipe"))}
    return Plan(seed=seed, protocol=protocol, recipe=recipe, overrides=_instrument(chance(seed, protocol, "column")))


def _turns(among: Sequence[str]) -> tuple[str, ...]:
    """Whose turn it is, one seed after the other; then from the beginning."""
    rounds = {name: _ROUNDS.get(name, 1) if len(among) > 1 else 1 for name in among}
    return tuple(name for number in range(math.lcm(*rounds.values())) for name in among if number % rounds[name] == 0)


def drawn_commands(chance: Random, duration_s: float) -> tuple[tuple[float, str], ...]:
    """Run time (s) and command, in order; a pause goes on by itself a moment later."""
    count = chance.choice(_HOW_MANY_COMMANDS)
    return tuple(sorted((round(chance.uniform(0.0, duration_s), 3), chance.choice(_COMMANDS)) for _ in range(count)))


def chance(seed: int, protocol: str, what: str) -> Random:
    """A source of chance of its own for each thing drawn, so that one more draw changes nothing else."""
    return Random(f"cryoctl campaign 1: {seed} {protocol} {what}")


def _instrument(chance: Random) -> tuple[str, ...]:
    """Column valves close within a second, blankers within 50 ms; some columns are open in the flyback."""
    settings = {
        "second_stop_s": round(chance.uniform(0.05, 1.0), 3),
        "blanker_latency_s": round(chance.uniform(0.002, 0.05), 4),
        "blanks_flyback": "true" if chance.random() < 0.6 else "false",
    }
    return tuple(f"instrument.devices.beam.settings.{name}={value}" for name, value in settings.items())
