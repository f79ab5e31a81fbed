"""FIB-SEMs through the package `fibsem` (extra of the same name): stage, electron column, its detectors, chamber gauge.

`fibsem` has one set of calls for several makers. Each of them waits until it is done; none stops a stage or a picture.
What is used of it, read in its source (0.5.3): metres and radians for the stage, metres for field width, beam shift and
working distance, seconds for the dwell time, Pa for the chamber.

Two of the makers that it names can be driven: Thermo Fisher (AutoScript), whose blanker is read back, and its own
simulated microscope ("Demo"), against which this driver was tried. On a real microscope it was never tried. Why not the
others: decision 0039. The ion column is kept blanked and read back; nothing here opens it.
"""
