"""docs/training_settings.md lists every setting there is, with its default."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from dragoman import plugins
from dragoman.models.dual import DualConfig
from dragoman.models.fusion import FusionConfig
from dragoman.models.temporal import VideoConfig
from dragoman.models.text.huggingface import HuggingFaceTextConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training import TrainConfig
from dragoman.training.extension_config import ExtensionConfig
from dragoman.training.trust_use import TrustUse

PAGE = Path(__file__).parents[2] / "docs" / "training_settings.md"
GROUPS: dict[str, Any] = {
    "": TrainConfig,
    "text.": SmallTextConfig,
    "text (hf).": HuggingFaceTextConfig,
    "dual.": DualConfig,
    "fusion.": FusionConfig,
    "video.": VideoConfig,
    "trust.": TrustUse,
    "extension.": ExtensionConfig,
}
LOSSES = {
    name: plugins.load("dragoman.objectives", name, "objective").Config
    for name in plugins.names("dragoman.objectives")
}
GROUPS |= {f"loss ({name}).": config for name, config in LOSSES.items()}


def rows(prefix: str, config: Any) -> list[str]:
    """`| name | default | meaning |`, from the dataclass and the strings below its fields."""
    said: dict[str, str] = {}
    for part in reversed([part for part in config.__mro__ if is_dataclass(part)]):
        said |= strings_of(part)
    found = []
    for field in fields(config):
        needed = field.default is MISSING
        default = (
            ""
            if needed
            else f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
        )
        found.append(f"| `{field.name}` | {default} | {said.get(field.name, '')} |".replace("  ", " "))
    return found


def strings_of(config: type) -> dict[str, str]:
    """Field to the string below it, of a class but not of those that it inherits from."""
    body = ast.parse(inspect.getsource(config)).body[0].body  # type: ignore[attr-defined]
    said: dict[str, str] = {}
    for line, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            text = (
                after.value.value
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                else ""
            )
            said[line.target.id] = re.sub(r"\s+", " ", text)
    return said


@pytest.mark.parametrize("prefix", GROUPS)
def test_every_setting_stands_on_the_page(prefix: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    name = GROUPS[prefix].__module__
    head = "| setting | default | meaning |\n|---|---|---|\n"
    table = page.split(f"<!-- {name} -->\n{head}")[1].split("\n\n")[0]
    assert table.splitlines() == rows(prefix, GROUPS[prefix]), (
        "run: python tests/training/test_training_docs.py"
    )


def write_tables() -> None:
    """Bring the tables of the page up to date."""
    page = PAGE.read_text(encoding="utf-8")
    for prefix, config in GROUPS.items():
        mark = f"<!-- {config.__module__} -->\n"
        before, after = page.split(mark)
        rest = after.partition("\n\n")[2]
        table = "| setting | default | meaning |\n|---|---|---|\n" + "\n".join(rows(prefix, config))
        page = f"{before}{mark}{table}\n\n{rest}"
    PAGE.write_text(page.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_tables()
