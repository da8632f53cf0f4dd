"""The plan of a collection: what is found, how each language is reached, what is refused."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelInfo

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from pictures_of_archives import alt, iim, jpeg, packet
from tiny_towers import picture, save_tower

from dragoman.corpus.corrections import CORRECTIONS, Correction, keep_corrections
from dragoman.errors import UserError
from dragoman.media import folder
from dragoman.pipelines import plan as planning
from dragoman.pipelines.licences import UNKNOWN, licence_of
from dragoman.pipelines.look import look
from dragoman.pipelines.options import MakeOptions
from dragoman.pipelines.plan import make_plan
from dragoman.pipelines.prospect import Share

PORTUGUESE = "um cão castanho corre na praia ao pé do mar com uma bola na boca"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos: two with English captions beside them, one with Portuguese, one with both."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate("abcd"):
        picture(number).save(folder / f"{name}.png")
    (folder / "a.txt").write_text("a brown dog runs on the beach\na dog on sand\n")
    (folder / "b.txt").write_text("two men are playing football in the rain\n")
    (folder / "c.pt.txt").write_text(PORTUGUESE + "\n")
    (folder / "d.txt").write_text("a red boat\n")
    (folder / "d.pt.txt").write_text("um barco vermelho\n")
    (folder / "broken.gif").symlink_to("nothing")
    return folder


@pytest.fixture
def tower(tmp_path: Path) -> str:
    return str(save_tower(tmp_path / "tower", "mobilenet"))


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer with these engines, whatever is installed."""
    there = {
        ("en", "pt"): ["apertium:eng-spa|es-pt"],
        ("pt", "en"): ["apertium:pt-es|spa-eng"],
        ("en", "cs"): ["dictionary:eng-ces"],
        ("en", "es"): ["apertium:eng-spa", "dictionary:eng-spa"],
        ("en", "de"): ["dictionary:eng-deu"],
    }
    monkeypatch.setattr(planning, "offers", lambda source, target: there.get((source, target), []))
    monkeypatch.setattr(planning, "_seconds_of", lambda way, found, captions: 7.0)
    monkeypatch.setattr(planning, "_photo_seconds", lambda plan: 0.01)
    monkeypatch.setattr(planning, "FEWEST", 2)
    shares = {"cs": Share(0.25, 0.4, 0.55), "de": Share(0.5, 0.7, 0.9)}
    monkeypatch.setattr(
        planning,
        "expectations",
        lambda source, through: {one: shares[one] for one in through if one in shares},
    )


def test_a_folder_is_looked_at_without_opening_a_photo(photos: Path) -> None:
    (photos / "a.png").write_bytes(b"no picture")
    found = look(photos)
    assert (found.images, found.videos, found.captioned) == (4, 0, 3)
    assert (found.captions, found.lang, found.source) == ({"en": 4, "pt": 2}, "en", "en")
    assert found.sample == (
        "a brown dog runs on the beach",
        "a dog on sand",
        "two men are playing football in the rain",
        "a red boat",
    )
    assert [line.partition(":")[0] for line in found.unusable] == ["broken.gif"]


def test_the_language_of_captions_inside_photos_is_recognised_too(tmp_path: Path) -> None:
    lines = [PORTUGUESE, "dois homens jogam futebol à chuva num campo verde", "A dog runs on the beach"]
    for name, line in zip("abc", lines, strict=True):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(iptc=iim((2, 120, line.encode()))))
    (tmp_path / "c.jpg").write_bytes(jpeg(xmp=packet(alt("dc:title", en=lines[2]))))
    found = look(tmp_path)
    assert (found.captions, found.lang, found.source, found.captioned) == ({"pt": 2, "en": 1}, "pt", "pt", 2)
    assert look(tmp_path, lang="gl").captions == {"gl": 2, "en": 1}


def test_the_language_of_captions_that_name_none_is_recognised_or_given(photos: Path) -> None:
    for name in "ab":
        (photos / f"{name}.txt").write_text(f"{PORTUGUESE}\n{PORTUGUESE}\n")
    (photos / "d.txt").write_text("um barco vermelho no rio\n")
    found = look(photos)
    # Those of the files that are tagged as Portuguese count with them.
    assert (found.captions, found.lang, found.source, found.captioned) == ({"pt": 7}, "pt", "pt", 4)
    given = look(photos, lang="gl")
    assert (given.captions, given.lang, given.source) == ({"gl": 5, "pt": 2}, "gl", "gl")


def test_captions_are_read_once_though_their_language_is_recognised_first(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    read = folder.text_lines
    monkeypatch.setattr(folder, "text_lines", lambda file: opened.update([file.name]) or read(file))
    expected = look(photos, lang="en")
    assert opened == {"a.txt": 1, "b.txt": 1, "c.pt.txt": 1, "d.txt": 1, "d.pt.txt": 1}
    opened.clear()
    assert look(photos) == expected
    assert set(opened.values()) == {1}


def test_corrections_count_as_captions_and_never_as_the_source(photos: Path, tower: str) -> None:
    out, sheet = photos.parent / "collection", photos.parent / "sheet.csv"
    of = [Correction(item_id=f"{name}.png", lang="pt", text=name, translation="x") for name in "abc"]
    keep_corrections(out / CORRECTIONS, of[:1])
    keep_corrections(out / "index" / CORRECTIONS, [replace(of[0], text="A"), of[2]])
    rows = [f"{photos / 'b.png'},pt,x,b", "b.png,pt,y,c", "d.png,en,,a boat", "gone.png,pt,,d"]
    sheet.write_text("path,lang,translation,correction\n" + "\n".join(rows) + "\n")
    options = MakeOptions(to=("pt",), vision=tower, corrections=(str(sheet),))
    plan = make_plan(photos, options, out)
    # Two Portuguese captions beside the photos, and four corrections: a once, b twice, c once.
    assert plan.found.captions == {"pt": 6, "en": 5}
    assert (plan.found.source, plan.found.captioned, plan.found.corrections) == ("en", 3, 5)
    assert plan.ways[0].human == 6
    said = "\n".join(plan.lines())
    assert "captions: 6 in Portuguese, 5 in English; 3 photos have one in English\n" in said
    assert "  corrections of translations among them: 5\n" in said
    assert "corrections of items that are not here, kept for when they are: 1 (gone.png)" in said
    assert make_plan(photos, options).found.captions == {"en": 5, "pt": 4}


def test_where_tagged_captions_are_more_they_are_the_source_and_the_others_keep_their_language(
    photos: Path,
) -> None:
    (photos / "c.pt.txt").write_text(f"{PORTUGUESE}\n" * 9)
    found = look(photos)
    assert (found.lang, found.source, found.captions) == ("en", "pt", {"pt": 10, "en": 4})


def test_each_language_is_reached_by_the_best_that_there_is(photos: Path, tower: str) -> None:
    plan = make_plan(photos, MakeOptions(to=("pt", "es", "de", "cs", "eu", "en"), vision=tower))
    assert plan.recipe == "glossed"
    assert [(way.lang, way.by, way.engine, way.back, way.human) for way in plan.ways] == [
        # Two captions by people are enough here; they are learned from beside the machine's.
        ("pt", "captions", "apertium:eng-spa|es-pt", "apertium:pt-es|spa-eng", 2),
        ("es", "engine", "apertium:eng-spa", None, 0),
        # Known to the sentence encoder: words alone would add nothing.
        ("de", "encoder", None, None, 0),
        ("cs", "dictionary", "dictionary:eng-ces", None, 0),
        ("eu", "nothing", None, None, 0),
        ("en", "captions", None, None, 4),
    ]
    said = "\n".join(plan.lines())
    assert "Basque (eu): cannot be reached. No engine and no dictionary" in said
    assert "--engine eu=ctranslate2:FOLDER" in said
    assert "4 photos\n" in said
    assert "translate into Portuguese: 5 s" in said


def test_a_language_that_nobody_captioned_is_told_what_it_will_find(
    photos: Path, tower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(photos, MakeOptions(to=("pt", "cs", "de"), vision=tower))
    said = list(plan.lines())
    czech = next(row for row, line in enumerate(said) if "Czech (cs): word by word" in line)
    assert said[czech + 1] == "    expected: finds 25% to 55% of what English finds"
    assert said[czech + 3] == "    expected: finds 50% to 90% of what English finds"
    asked = {}
    monkeypatch.setattr(planning, "expectations", lambda source, through: asked.update({source: through}))
    make_plan(photos, MakeOptions(to=("pt", "es", "cs", "de", "eu"), vision=tower))
    # Portuguese has captions by people, which tell more than any sample; Basque has nothing.
    assert asked == {"en": {"es": (), "cs": ("dictionary:eng-ces",), "de": ()}}


def test_an_engine_that_is_named_wins(photos: Path, tower: str) -> None:
    chosen = MakeOptions(
        to=("es", "cs"), vision=tower, engines=("cs=transformers:m2m", "es=dictionary:w.tsv")
    )
    plan = make_plan(photos, chosen)
    assert [(way.by, way.engine) for way in plan.ways] == [
        ("engine", "dictionary:w.tsv"),
        ("engine", "transformers:m2m"),
    ]


def test_captions_that_the_sentence_encoder_does_not_know_are_learned_from_by_translations(
    photos: Path, tower: str
) -> None:
    plan = make_plan(photos, MakeOptions(to=("es", "de"), lang="gl", vision=tower))
    assert (plan.found.source, plan.recipe) == ("gl", "source_only")
    assert [way.by for way in plan.ways] == ["nothing", "nothing"]
    named = ("de=transformers:m2m",)
    plan = make_plan(photos, MakeOptions(to=("es", "de"), lang="gl", vision=tower, engines=named))
    assert (plan.recipe, [way.by for way in plan.ways]) == ("translate_train", ["nothing", "engine"])


def test_a_model_with_both_sides_needs_no_captions(photos: Path, tmp_path: Path) -> None:
    for text in photos.glob("*.txt"):
        text.unlink()
    clip = str(save_tower(tmp_path / "clip", "clip"))
    plan = make_plan(photos, MakeOptions(to=("pt",), vision=clip))
    assert (plan.recipe, plan.is_dual, [way.by for way in plan.ways]) == (None, True, ["public"])
    assert "captions: none" in "\n".join(plan.lines())
    # Of the language that is taken for that of the captions, there are none either.
    assert make_plan(photos, MakeOptions(to=("en",), vision=clip)).ways[0].by == "public"
    assert list(plan.stages) == ["read the captions", "look at the photos", "index"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": ("xx",)}, "Unknown language 'xx'"),
        ({"to": ("pt",), "engines": ("apertium:eng-spa",)}, "LANG=ENGINE was expected"),
        ({"to": ("pt",), "engines": ("es=apertium:eng-spa",)}, "none of --to pt"),
    ],
)
def test_choices_that_do_not_fit_are_refused(options: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        MakeOptions(**options)


def test_without_captions_a_tower_that_only_sees_is_refused(photos: Path, tower: str) -> None:
    for text in photos.glob("*.txt"):
        text.unlink()
    with pytest.raises(UserError, match=r"0 photos with captions .* no text side.*--vision google/siglip2"):
        make_plan(photos, MakeOptions(to=("pt",), vision=tower))


def test_a_tower_that_must_be_downloaded_where_there_is_no_network_is_told(photos: Path) -> None:
    with pytest.raises(UserError, match="is not on this computer, and the hub cannot be asked"):
        make_plan(photos, MakeOptions(to=("pt",), vision="somebody/else"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A hub that has one model, which nobody has downloaded, and tells this of its configuration."""

    def answer(told: dict[str, Any] | None) -> None:
        files = [{"rfilename": "config.json", "size": 1000}, {"rfilename": "model.safetensors", "size": 6e8}]
        files += [{"rfilename": "onnx/model.json", "size": 9e8}]
        info = ModelInfo(id="somebody/else", siblings=files, config=told)
        monkeypatch.setattr(HfApi, "model_info", lambda self, name, **asked: info)

    return answer


@pytest.mark.parametrize(
    ("told", "is_dual", "said"),
    [
        (
            {"model_type": "clip", "architectures": ["CLIPModel"]},
            True,
            "or it as it is, whichever finds more",
        ),
        ({"model_type": "siglip"}, True, "or it as it is, whichever finds more"),
        ({"model_type": "dinov2"}, False, None),
        ({"model_type": "clip_vision_model"}, False, None),
        ({"model_type": "of_their_own"}, None, "is not known before it is downloaded"),
        ({}, None, "is not known before it is downloaded"),
        (None, None, "is not known before it is downloaded"),
    ],
)
def test_the_hub_says_whether_a_tower_that_is_not_here_has_a_text_side(
    photos: Path,
    hub: Callable[..., None],
    told: dict[str, Any] | None,
    is_dual: bool | None,
    said: str | None,
) -> None:
    hub(told)
    options = MakeOptions(to=("pt",), vision="somebody/else")
    plan = make_plan(photos, options)
    lines = "\n".join(plan.lines())
    assert (plan.tower, plan.is_dual, plan.recipe) == (None, is_dual, "glossed")
    assert said in lines if said else "as it is" not in lines and "not known" not in lines
    assert ("compare with the public model" in plan.stages) == (is_dual is not False)
    assert plan.downloads == ("somebody/else, 0.6 GB, from huggingface.co",)
    for text in photos.glob("*.txt"):
        text.unlink()
    if is_dual:
        assert make_plan(photos, options).ways[0].by == "public"
        return
    why = (
        "has no text side"
        if is_dual is False
        else "not known .* download it first: hf download somebody/else"
    )
    with pytest.raises(UserError, match=rf"0 photos with captions .*{why}"):
        make_plan(photos, options)


def test_a_licence_is_that_of_the_model_card_or_what_is_known_of_the_name(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: cc-by-nc-4.0\n---\nlicense: mit\n")
    assert licence_of(tmp_path, "google/siglip2-base") == "cc-by-nc-4.0"
    card.write_text("# Model\nlicense: mit\n")
    assert licence_of(tmp_path, "openai/clip-vit-base-patch32") == "MIT"
    assert licence_of(tmp_path, "somebody/else") == UNKNOWN
    assert licence_of(None, "apertium:eng-spa").startswith("GPL-2.0")
