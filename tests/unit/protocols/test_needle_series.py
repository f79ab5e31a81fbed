"""What ends a needle's series, and how long it waits for the next picture."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from cryoctl.errors import StepLost
from cryoctl.steps import (
    BiasRead,
    Checkpoint,
    Command,
    Compute,
    Computed,
    Expose,
    Exposed,
    FrameRef,
    NoteHold,
    NoteParticles,
    ReadBias,
    StartWaveform,
    Step,
    Wait,
    Waited,
    WaveformStarted,
)
from cryoctl.steps.codec import decode, encode
from cryoctl_protocols.frame_pace import Outlook, Pace, interval_s
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_pictures import NeedlePictures
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters
from cryoctl_protocols.needle_series import FOLLOW, PROGRESS, NeedleSeries
from tests.unit.protocols.fake_instrument import some_facts

RATE_PER_S = 0.01
PICTURE_S = 0.5


class Bench:
    """Answers a series: the particle grows evenly under bias. `told` is what `progress` says instead from a picture on,
    in pictures `blind` nothing is found."""

    def __init__(
        self, told: dict[int, dict[str, Any]] | None = None, blind: tuple[int, ...] = (), stop_after: int = 10_000
    ) -> None:
        self.stop_after = stop_after
        self.time_s, self.frames, self.told, self.blind = 100.0, 0, told or {}, blind
        self.ends_s = self.onset_s = math.inf
        self.asked: list[Step[Any]] = []

    def answer(self, step: Step[Any]) -> Any:
        self.asked.append(step)
        match step:
            case Expose():
                began_s, self.time_s, self.frames = self.time_s, self.time_s + PICTURE_S, self.frames + 1
                return Exposed(
                    exposure=self.frames,
                    outcome="done",
                    frame=FrameRef(stream="image", index=self.frames - 1),
                    dose_e_per_a2=5.0,
                    started_s=began_s,
                    duration_s=PICTURE_S,
                    scans_done=1,
                )
            case Compute():
                return Computed(values=self._computed(step))
            case Wait():
                self.time_s += step.duration_s
                return Waited(time_s=self.time_s)
            case StartWaveform():
                self.onset_s, self.ends_s = self.time_s, self.time_s + step.waveform.duration_s
                return WaveformStarted(began_s=self.time_s, ends_s=self.ends_s, sample_interval_s=0.025)
            case ReadBias():
                on = self.time_s < self.ends_s
                return BiasRead(
                    voltage_v=2.0,
                    current_a=0.0,
                    in_compliance=False,
                    output_on=on,
                    playing=on,
                    stopped_by="" if on else "complete",
                    charge_c=0.0,
                    charge_bound_c=0.0,
                    time_s=self.time_s,
                )
            case Checkpoint():
                return Command(command="stop-after" if self.frames > self.stop_after else "", time_s=self.time_s)
            case _:
                return None

    def _computed(self, step: Compute) -> dict[str, Any]:
        at = self.frames - 1
        if step.function == FOLLOW:
            if at in self.blind:
                raise StepLost("it could not be told from these pictures")
            areas = [{"number": n, "area_px2": 700.0 * n, "sigma_px2": 4.0} for n in (3, 4)]
            return {"state": {"touched": 4}, "target": {}, "gap_px": 0.0, "areas": areas, "particles": []}
        if step.function == PROGRESS:
            since_s = self.time_s - PICTURE_S - self.onset_s
            ratio = 1 + RATE_PER_S * since_s if since_s > 0 else math.nan
            usual = {
                "ratio": ratio,
                "ratio_sigma": 0.01,
                "rate_per_s": RATE_PER_S,
                "broken": False,
                "broken_s": math.nan,
            }
            latest = {key: value for k, one in self.told.items() if k <= at for key, value in one.items()}
            return {**usual, "gap_px": 0.0, "gap_suspected": False, "gap_open": False, **latest}
        return {"dx_px": 0.0, "dy_px": 0.0, "quality": 0.0, "found": False}


def play(bench: Bench, **fields: Any) -> tuple[str, str]:
    recipe = NeedleBiasingParameters.model_validate(
        {"bias": {"waveform": {"scheme": "constant-voltage", "duration_s": 100.0}}, **fields}
    )
    pictures = NeedlePictures(recipe, some_facts(), NeedleDrive(recipe.needle.side))
    series = NeedleSeries(recipe, pictures, 4e-9)

    def both() -> Any:
        return (yield from series.unbiased()) or (yield from series.under_bias())

    playing = both()
    step = next(playing)
    while True:
        try:
            answer = bench.answer(decode(encode(step)))
        except StepLost as error:
            step = playing.throw(error)
            continue
        try:
            step = playing.send(decode(encode(answer)))
        except StopIteration as over:
            return over.value


def intervals(bench: Bench) -> list[float]:
    return [step.duration_s for step in bench.asked if isinstance(step, Wait)]


def test_a_series_ends_with_its_waveform() -> None:
    assert play(Bench()) == ("done", "")


def test_it_ends_where_the_area_wanted_is_reached() -> None:
    bench = Bench()
    ended, why = play(bench, end={"area_ratio": 1.5})
    assert ended == "condition"
    assert "1.5" in why
    assert bench.time_s - bench.onset_s == pytest.approx(50, abs=3)
    assert intervals(bench)[-1] == 1.0, "at the shortest interval as it comes near"


def test_a_shrinking_particle_is_ended_from_above() -> None:
    shrinking = {5: {"ratio": 0.79, "rate_per_s": -0.01}}
    assert play(Bench(shrinking), end={"area_ratio": 0.8})[0] == "condition"
    assert play(Bench(shrinking), end={"area_ratio": 1.9})[0] == "done"


def test_it_ends_with_a_broken_coating_where_that_is_asked_for() -> None:
    broken = {8: {"broken": True, "broken_s": 20.0}}
    ended, why = play(Bench(broken), end={"broken": True})
    assert (ended, "20 s" in why) == ("condition", True)
    assert play(Bench(broken))[0] == "done"


@pytest.mark.parametrize("at", [1, 9])
def test_a_contact_that_is_lost_is_told_and_noted(at: int) -> None:
    bench = Bench({at: {"gap_open": True, "gap_px": 6.0}})
    ended, why = play(bench)
    assert ended == "no_contact"
    assert "24 nm" in why
    assert any(isinstance(step, NoteHold) and step.hold == "free" for step in bench.asked)
    assert any(isinstance(step, StartWaveform) for step in bench.asked) is (at == 9)


def test_a_suspected_gap_is_looked_at_soon() -> None:
    bench = Bench({6: {"gap_suspected": True}, 7: {"gap_suspected": False}})
    play(bench, pace={"change": None})
    assert intervals(bench)[5:8] == [4.0, 1.0, 4.0]


def test_no_bias_comes_on_while_a_gap_is_suspected() -> None:
    bench = Bench({0: {"gap_suspected": True, "gap_px": 8.0}, 1: {"gap_open": True}})
    assert play(bench, before=1)[0] == "no_contact"
    assert not any(isinstance(step, StartWaveform) for step in bench.asked)


def test_no_bias_comes_on_where_the_last_pictures_say_nothing() -> None:
    bench = Bench(blind=(2, 3))
    ended, why = play(bench, before=3)
    assert (ended, "before the bias" in why) == ("lost", True)
    assert StartWaveform not in {type(step) for step in bench.asked}


def test_a_second_look_before_the_bias_is_enough() -> None:
    bench = Bench(blind=(2,))
    assert play(bench, before=3)[0] == "done"


def test_a_picture_without_particles_does_not_end_the_series() -> None:
    bench = Bench(blind=(6, 7))
    assert play(bench, end={"area_ratio": 1.5})[0] == "condition"


def test_areas_are_shown_with_who_is_a_control() -> None:
    bench = Bench()
    play(bench, before=2)
    shown = [step for step in bench.asked if isinstance(step, NoteParticles)]
    assert len(shown) == bench.frames
    assert shown[0].name == ("p3", "p4")
    assert shown[0].control == (True, True), "nothing is biased yet"
    assert shown[-1].control == (True, False)
    assert shown[0].area_m2[1] == pytest.approx(2800 * 16e-18)


def test_the_particle_in_contact_is_its_own_control_before() -> None:
    bench = Bench()
    play(bench, unbiased_share=0.5, before=2)
    before = sum(isinstance(step, Expose) for step in bench.asked[: _started(bench)])
    assert before == 13, "half of the 25 that are planned under bias"


@pytest.mark.parametrize("after", [2, 20])
def test_the_operator_ends_it_without_and_under_bias(after: int) -> None:
    bench = Bench(stop_after=after)
    assert play(bench, before=6) == ("stopped", "stop-after")
    assert bench.frames == after + 1


def _started(bench: Bench) -> int:
    return next(k for k, step in enumerate(bench.asked) if isinstance(step, StartWaveform))


def test_what_is_told_to_progress_stays_small() -> None:
    bench = Bench()
    play(bench, frame_interval_s=1.0, unbiased_share=0.3)
    told = [
        len(one.arguments["pictures"]) for one in bench.asked if isinstance(one, Compute) and one.function == PROGRESS
    ]
    assert len(told) > 60
    assert max(told) == 21


NOW = Outlook(
    since_s=20.0,
    left_s=100.0,
    ratio=1.2,
    rate_per_s=0.01,
    suspected=False,
    dose_left_e_per_a2=1e4,
    picture_e_per_a2=5.0,
)


@pytest.mark.parametrize(
    ("pace", "now", "wanted", "expected_s"),
    [
        (Pace(), {}, None, 4.0),
        (Pace(), {"rate_per_s": 0.025}, None, 2.0),
        (Pace(), {"rate_per_s": -0.025}, None, 2.0),
        (Pace(), {"rate_per_s": 1.0}, None, 1.0),
        (Pace(), {"rate_per_s": 1e-4}, None, 4.0),
        (Pace(longest_s=30.0), {"rate_per_s": 1e-4}, None, 30.0),
        (Pace(change=None), {"rate_per_s": 0.025}, None, 4.0),
        (Pace(), {"rate_per_s": math.nan}, None, 4.0),
        (Pace(rate_per_s=0.025), {"rate_per_s": math.nan}, None, 2.0),
        (Pace(), {}, 1.24, 2.0),
        (Pace(), {}, 0.8, 4.0),
        (Pace(events_s=(30.0,)), {}, None, 1.0),
        (Pace(events_s=(40.0,)), {}, None, 4.0),
        (Pace(), {"suspected": True}, None, 1.0),
        (Pace(), {"dose_left_e_per_a2": 50.0}, None, 100 / 9),
        (Pace(), {"dose_left_e_per_a2": 0.0}, None, 100.0),
    ],
)
def test_the_interval(pace: Pace, now: dict[str, float], wanted: float | None, expected_s: float) -> None:
    assert interval_s(pace, 4.0, wanted, replace(NOW, **now)) == pytest.approx(expected_s)


def test_an_area_of_one_is_no_condition() -> None:
    with pytest.raises(ValueError, match="area_ratio"):
        NeedleBiasingParameters.model_validate({"end": {"area_ratio": 1.0}})
