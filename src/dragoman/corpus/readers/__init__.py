"""Readers of data sets as their authors publish them; the name of a file is the name of its verb.

`contract` is what each of them says and gives, `formats` what several of them share.
"""

SHARED = ("contract", "formats")
"""Modules that readers share; every other one is a reader."""
