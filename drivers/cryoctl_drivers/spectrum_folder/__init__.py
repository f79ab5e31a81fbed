"""Vendor systems that write a spectrum image into a folder, which is watched for the one of each scan frame.

Lispix `.rpl` with `.raw` and NeXus/HDF5 are read here; `.bcf`, `.emd` and what else rosettasciio reads with the extra
`hspy` (GPL-3, hence optional).
"""
