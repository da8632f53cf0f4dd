"""Translation engines, one file each, found by name.

An engine file holds a frozen dataclass `Config` with a default for every option, and
`build(argument, source, target, options, device) -> Engine`.
"""
