"""What drivers of a microscope share that opens, blanks, acquires and moves when it is told to, and not otherwise.

Such an interface knows no permit and ends nothing by itself: no call stops an acquisition, none stops a stage. So a
beam is opened for one scan frame after another and blanked on a way of its own, and moves are sent in legs. What the
maker's interface is asked for, and how, is left to the drivers (`thermo_fisher`, `fibsem`).
"""
