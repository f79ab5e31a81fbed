"""Fault campaigns: random recipes of every protocol with random faults, judged from the simulated world's own truth.

`drawing` says what is played, `playing` plays it, `evidence` gathers what files and world tell, `judge` finds what
must never be, `pool` shares the cases among processes, `campaign` puts them together; `killing` and `matrix` are the
other two kinds of campaign.
"""
