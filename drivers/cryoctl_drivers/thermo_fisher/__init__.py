"""Thermo Fisher and FEI transmission electron microscopes, through their scripting interface.

`temscript` (extra of the same name) runs a server on the microscope's PC that passes its client's calls on to the
scripting interface, one call after another: while it acquires or moves it answers nothing else. So there are three
servers, each a process of its own: for column and pictures, for stage and gauges, and one that does nothing but blank.

From temscript's documentation and source (2.1): metres and radians for the stage, metres for beam shift, kV for the
voltage, an acquisition's picture size as FULL, HALF or QUARTER of the whole and a binning. Tried against its own server
and its `NullMicroscope`; none of it has yet been tried on a microscope. See the how-to "Connect a Thermo Fisher TEM".
"""
