"""Amptek DP5, PX5 and relatives (X-123): one spectrum at a time over UDP.

From Amptek's "DP5 Programmer's Guide" (its pages as stored by public libraries of manuals) and from what open programs
for the same units rely on; what could not be verified on a unit is said where it is used.
"""
