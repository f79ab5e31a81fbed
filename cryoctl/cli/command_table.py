"""Which commands there are, in the order of the help, and the module that each is loaded from."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """`module` has a `typer.Typer` named `app` with a command of this name; `help` is what the overview says."""

    module: str
    section: str
    help: str


_RUN, _DATA, _TEST, _LOOK_UP = "Run an experiment", "Work with its data", "Test it", "Look up"

COMMANDS: dict[str, Entry] = {
    "rehearse": Entry("runs", _RUN, "Predict duration, dose and counts on simulators; writes nothing."),
    "run": Entry("runs", _RUN, "Run a recipe (on simulators, or on --instrument FILE)."),
    "resume": Entry("resume", _RUN, "Go on with a run that was killed, aborted or stopped by a fault."),
    "status": Entry("operate", _RUN, "Where a run is, from another shell."),
    "view": Entry("view", _RUN, "A window on a run: pictures, dose, course, events, PAUSE and STOP."),
    "tell": Entry("operate", _RUN, "Pause, blank, go on, skip, stop after, abort, acknowledge, note."),
    "safe": Entry("safe", _RUN, "Bring an instrument into its safe state now."),
    "serve": Entry("serve", _RUN, "Own an instrument's devices, for a runner on another PC."),
    "keys": Entry("keys", _RUN, "Who may speak to a node: new, allow, list, revoke, know."),
    "identify": Entry("identify", _RUN, "Connect an instrument's devices and tell who each is; moves nothing."),
    "replay": Entry("replays", _RUN, "Play a recipe on recorded data."),
    "show": Entry("show", _DATA, "Summary and picture of a run, or one line a run of a folder."),
    "check": Entry("check", _DATA, "Integrity of a run file; exit code 1 if something is wrong."),
    "recover": Entry("recover", _DATA, "Make a whole file of a run that was killed, on a copy."),
    "reconstruct": Entry("reconstruct", _DATA, "Volume of each element: MLEM, OSEM, SIRT or WBP."),
    "measure": Entry("measure", _DATA, "Elongation and Fourier shell correlation of a volume."),
    "export": Entry("exports", _DATA, "A run in other formats: HyperSpy, tilt stack, MRC, NeXus, CSV."),
    "calibrations": Entry("calibrations", _DATA, "What `run calibrate` measured, as an instrument file has it."),
    "campaign": Entry("campaign", _TEST, "Random recipes with random faults against the simulated world's truth."),
    "recipes": Entry("lookup", _LOOK_UP, "Bundled recipes; `recipes copy NAME` writes one here to edit."),
    "instruments": Entry("lookup", _LOOK_UP, "Bundled instrument files; `instruments copy NAME` writes one here."),
    "protocols": Entry("lookup", _LOOK_UP, "Installed protocols."),
    "graph": Entry("lookup", _LOOK_UP, "States of a protocol as a Mermaid diagram."),
    "schema": Entry("lookup", _LOOK_UP, "JSON Schema of a protocol's recipes or of instrument files."),
    "devices": Entry("devices", _LOOK_UP, "Devices and limits of an instrument file, drivers installed."),
    "faults": Entry("devices", _LOOK_UP, "Faults that --faults can inject into simulated devices."),
}
