"""The commands that load a 2450 with what it plays and samples by itself."""

from __future__ import annotations

from collections.abc import Sequence

from cryoctl.errors import Refused
from cryoctl_drivers.keithley_2450.settings import BUFFER
from cryoctl_drivers.staircase import Stair, Staircase

MOST_LEVELS = 2500
_MOST_BLOCKS = 63
_VALUES_A_COMMAND = 100
LISTS = {"voltage": '"VoltCustomSweepList"', "current": '"CurrCustomSweepList"'}
SHORT = {"voltage": "VOLT", "current": "CURR"}


def timer(interval_s: float) -> list[str]:
    """Ticks for ever once the trigger model has begun (its notification 1)."""
    return [
        ":TRIG:TIM1:STAT 0",
        f":TRIG:TIM1:DEL {interval_s:.9g}",
        ":TRIG:TIM1:COUN 0",
        ":TRIG:TIM1:STAR:STIM NOT1",
        ":TRIG:TIM1:STAR:GEN 0",
        ":TRIG:TIM1:STAT 1",
    ]


def sampling(buffer: str = BUFFER) -> list[str]:
    """One sample a tick, until it is stopped."""
    return _numbered([f"MEAS {{0}},{buffer}", "WAIT {0},TIM1", "BRAN:ALW {0},3"], ["NOT {0},1", "NOP {0}"])


def level_list(control: str, levels: Sequence[float]) -> list[str]:
    parts = [levels[at : at + _VALUES_A_COMMAND] for at in range(0, len(levels), _VALUES_A_COMMAND)]
    header = f":SOUR:LIST:{SHORT[control]}"
    return [
        f"{header}{':APP' if number else ''} " + ",".join(f"{value:.9g}" for value in part)
        for number, part in enumerate(parts)
    ]


def playing(stairs: Staircase, rest_s: float, name: str, buffer: str = BUFFER) -> list[str]:
    """Output on, all stairs, output off.

    Args:
        rest_s: how long a level has stood, at each tick, before it is measured.

    Raises:
        Refused: more blocks than it has.
    """
    levels = LISTS[stairs.control]
    begin = [f"CONF:REC {{0}},{levels},1", "SOUR:STAT {0},ON", "NOT {0},1"]
    first, at, body = len(begin) + 1, 1, list[str]()
    for stair in stairs.stairs:
        body += _stair(stair, first + len(body), levels, at, rest_s, buffer)
        at += len(stair.levels)
    if stairs.repeats > 1:
        body.append(f"BRAN:COUN {{0}},{stairs.repeats},{first}")
    end = ["SOUR:STAT {0},OFF"]
    count = len(begin) + len(body) + len(end)
    if count > _MOST_BLOCKS:
        raise Refused(
            f"{name}.waveform: its {len(stairs.stairs)} pieces of different length need {count} trigger blocks, it has "
            f"{_MOST_BLOCKS}; give its pieces equal lengths or play it in parts"
        )
    return _numbered([*body, *end], begin)


def _stair(stair: Stair, at: int, levels: str, index: int, rest_s: float, buffer: str) -> list[str]:
    """Blocks of a stair, the first of which is number `at`, and whose first level has this index in the list."""
    recall = [f"CONF:REC {{0}},{levels},{index}"]
    if len(stair.levels) > 1:
        recall += [f"BRAN:ALW {{0}},{at + 3}", f"CONF:NEXT {{0}},{levels}"]
    reset = len(recall)
    sample = [f"DEL:CONS {{0}},{rest_s:.9g}", f"MEAS {{0}},{buffer}", "WAIT {0},TIM1"]
    if stair.until_v is None:
        count = f"BRAN:COUN {{0}},{stair.ticks},{at + reset}"
        blocks = [*recall, *sample, count]
    else:
        # What goes on early leaves its counter as it was.
        over = at + reset + 1 + len(sample) + 2
        limit = f"ABOV,0,{stair.until_v:.9g}" if stair.rising else f"BEL,{stair.until_v:.9g},0"
        counter = over - 1
        blocks = [*recall, f"BRAN:COUN:RES {{0}},{counter}", *sample]
        blocks += [f"BRAN:LIM:CONS {{0}},{limit},{over}", f"BRAN:COUN {{0}},{stair.ticks},{at + reset + 1}"]
    if len(stair.levels) > 1:
        blocks.append(f"BRAN:COUN {{0}},{len(stair.levels)},{at + 2}")
    return blocks


def _numbered(body: Sequence[str], begin: Sequence[str]) -> list[str]:
    blocks = [":TRIG:BLOC:" + block.format(number) for number, block in enumerate([*begin, *body], 1)]
    return [':TRIG:LOAD "EMPTY"', *blocks]
