"""Readers of data sets as their authors publish them, one file for each of them or for a family.

`contract` is what each of them says and gives, `formats` what several of them share.
"""

SHARED = ("contract", "formats")
"""Modules that readers share; every other one is a reader."""
