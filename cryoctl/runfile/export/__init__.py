"""A run in other people's formats, a file a format; an exporter is `export(run, out) -> paths written`.

They are found by the entry points `cryoctl.exporters`, so a third party can add one.
"""
