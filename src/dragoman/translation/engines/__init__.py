"""Translation engines, one file each, found by name.

An engine file holds a frozen dataclass `Config` with a default for every option, and
`build(argument, source, target, options, device) -> Engine`. Its docstring begins

    What it is: `name:ARGUMENT`.

    Needs what must be installed.

It may tell what it can do without being asked to:

    offers(source, target)      arguments with which it works here and now, without a download; best first
    packages(source, target)    packages of Debian, with blanks between, that would make it work; best first
    WORDS = True                where it knows words alone, and no grammar

`dragoman translate --help` and the page on translation show that.
"""
