from __future__ import annotations

from command_line import dragoman
from dragoman import plugins
from dragoman.recipes import methods


def test_every_recipe_is_listed_with_what_it_does_and_its_paper() -> None:
    done = dragoman("methods")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == plugins.names("dragoman.recipes")
    assert max(map(len, lines)) <= 100
    at = lines.index("cl2cm")
    assert " ".join(line.strip() for line in lines[at + 1 : lines.index("cl2cm_frozen")]) == (
        "A network of texts alone learns beside the model which captions and which words translate each "
        "other, and teaches it how near captions lie CL2CM: Wang et al., AAAI 2024, arXiv 2312.08984"
    )
    known = {one.name: one for one in methods()}
    assert known["mlp"].paper == "" and known["mlp"].about == "`linear` with two layers in the place of one"
