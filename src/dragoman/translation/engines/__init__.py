"""Translation engines, one file each, found by name.

An engine file holds a frozen dataclass `Config` with a default for every option, and
`build(argument, source, target, options, device) -> Engine`. Its docstring begins

    What it is: `name:ARGUMENT`.

    Needs what must be installed.

`dragoman translate --help` and the page on translation show that.
"""
