"""Recognisers of speech, one file for each kind, found by what a folder or an address is.

A kind is a module of this package with

    LAYOUT               what it reads, in words, for messages
    reads(name)          tells whether a name is a folder, or an address, of this kind; no weights are read
    load(name, device)   its `Recogniser`; raises UserError for what is damaged or not known

At most one kind reads a name. Importing a module of this package brings no heavy package.
"""

SHARED = ("whisper",)
