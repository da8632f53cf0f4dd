"""The plan of a collection: what a folder of photos holds, and how each language can be reached.

Looks at names, captions and what this computer has; writes nothing and downloads nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from dragoman.corpus.corrections import CORRECTIONS, read_corrections, require_files
from dragoman.errors import UserError
from dragoman.languages import comparable, language
from dragoman.models.hub import WANTED
from dragoman.models.sentences import use
from dragoman.pipelines.licences import licence_of
from dragoman.pipelines.look import Found, look
from dragoman.pipelines.options import VISION, MakeOptions
from dragoman.pipelines.prospect import Share, expectations, told
from dragoman.progress import duration
from dragoman.recipes import load_recipe
from dragoman.training.config import TrainConfig
from dragoman.translation.engine import offers, open_engine, packages, word_for_word

SHARES = (0.85, 0.15, 0.0)
"""Shares of train, val and test: held-out photos choose the model, and say what scores are worth."""
EPOCHS, FEWEST_STEPS = 20, 50
"""Length of a training at most; more is learned by heart (EXPERIMENTS.md)."""
FEWEST = 100
"""Captioned photos that are worth learning from."""
By = Literal["captions", "engine", "dictionary", "encoder", "public", "nothing"]
LEARNT: tuple[By, ...] = ("captions", "engine")
"""Ways of languages whose captions are learned from."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """The way in which a language is reached."""

    lang: str
    by: By
    engine: str | None = None
    """Spec of what translates captions into it, or its words."""
    back: str | None = None
    """Spec of what translates it into the language of the captions."""
    human: int = 0
    """Captions of people in it."""
    advice: str = ""
    """Something that would make it better."""

    def told(self) -> str:
        """Say it in one line."""
        name = f"{language(self.lang).name} ({self.lang})"
        how = {
            "captions": f"{self.human:,} captions by people",
            "engine": f"captions translated by {self.engine}",
            "dictionary": f"word by word, from {self.engine}",
            "encoder": "known to the sentence encoder, without translation",
            "public": "as far as the public model knows it",
            "nothing": "cannot be reached",
        }[self.by]
        also = f", and captions translated by {self.engine}" if self.by == "captions" and self.engine else ""
        return f"{name}: {how}{also}{f'. {self.advice}' if self.advice else ''}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is known before the work begins."""

    found: Found
    options: MakeOptions
    ways: tuple[Way, ...]
    """One for each language asked for."""
    tower: Path | None
    """Folder of the vision tower; None where it must be downloaded first."""
    is_dual: bool | None
    """The tower has a text side as well, and can be searched without learning; None where that is not known
    before it is downloaded."""
    recipe: str | None
    """Recipe to learn by; None where there is nothing to learn from."""
    expected: Mapping[str, Share] = field(default_factory=dict)
    """Shares of what the language of the captions finds, by languages of which that can be told."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each stage, by its words."""
    bytes: int = 0
    """Room on the disk."""
    memory: int = 0
    """Bytes of memory at the most."""
    downloads: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()

    def way(self, *by: By) -> list[Way]:
        """The languages that are reached so."""
        return [way for way in self.ways if way.by in by]

    @property
    def seconds(self) -> float:
        """Time of all stages."""
        return sum(self.stages.values())

    def lines(self) -> Iterator[str]:
        """Tell it to a person."""
        found = self.found
        videos = f" and {found.videos:,} videos" if found.videos else ""
        yield f"{found.photos}: {found.images:,} photos{videos}"
        if found.captions:
            named = [f"{count:,} in {language(lang).name}" for lang, count in found.captions.items()]
            own = f"{found.captioned:,} photos have one in {language(found.source).name}"
            yield f"  captions: {', '.join(named)}; {own}"
            if found.corrections:
                yield f"  corrections of translations among them: {found.corrections:,}"
        else:
            yield "  captions: none"
        for line in found.left_out:
            yield f"  {line}"
        for line in found.unusable[:3]:
            yield f"  cannot be taken: {line}"
        if len(found.unusable) > 3:
            yield f"  and {len(found.unusable) - 3:,} more that cannot be taken"
        yield "Languages of the visitors:"
        for way in self.ways:
            yield f"  {way.told()}"
            if way.lang in self.expected:
                yield f"    expected: {told(self.expected[way.lang], found.source)}"
        if self.recipe is None:
            yield f"Model: {self.options.vision} as it is, without learning."
        else:
            also = ", or it as it is, whichever finds more held-out captions" if self.is_dual else ""
            yield f"Model: learned by {self.recipe!r} from the captions, on {self.options.vision}{also}."
            if self.is_dual is None:
                yield "  Whether it has a text side is not known before it is downloaded; if so, it competes."
        yield f"Time: about {duration(self.seconds)} on this computer."
        for name, seconds in self.stages.items():
            yield f"  {name}: {duration(seconds)}"
        room = f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e9 else f"{max(self.bytes / 1e6, 1):.0f} MB"
        yield f"Disk: about {room}. Memory: up to {self.memory / 1e9:.1f} GB."
        yield f"Download: {'; '.join(self.downloads) or 'nothing'}."
        for line in self.licences:
            yield f"  {line}"


def ways(found: Found, options: MakeOptions, recipe: str | None) -> Iterator[Way]:
    """Choose for each language how it is reached; without a recipe by the public model."""
    for lang in options.to:
        if lang == found.source:
            own: By = "public" if recipe is None else "captions"
            yield Way(lang=lang, by=own, human=found.captions.get(lang, 0))
            continue
        chosen = options.engine_of.get(lang)
        there = [chosen] if chosen else offers(found.source, lang)
        back = next(iter(offers(lang, found.source)), None)
        spoken = next((one for one in there if chosen or not word_for_word(one)), None)
        human = found.captions.get(lang, 0)
        knows = is_known(lang)
        words = next(iter(there), None)
        advice = _advice(found.source, lang, by_words=not words and not knows) if not spoken else ""
        if recipe is None:
            yield Way(lang=lang, by="public", human=human, back=back)
        elif human >= FEWEST:
            yield Way(lang=lang, by="captions", human=human, engine=spoken, back=back)
        elif spoken:
            yield Way(lang=lang, by="engine", engine=spoken, back=back, human=human)
        elif recipe == "glossed" and knows:
            yield Way(lang=lang, by="encoder", back=back, human=human, advice=advice)
        elif words:
            by: By = "dictionary" if recipe == "glossed" else "engine"
            yield Way(lang=lang, by=by, engine=words, back=back, human=human, advice=advice)
        else:
            yield Way(lang=lang, by="nothing", human=human, advice=advice or _without(lang))


def is_known(lang: str) -> bool:
    """Tell whether the sentence encoder that comes as a package is installed and knows a language."""
    return comparable(lang).partition("-")[0] in use.LANGUAGES and find_spec(use.MODULE) is not None


def _advice(source: str, target: str, *, by_words: bool) -> str:
    """Tell what would bring an engine, which may know words alone."""
    found = [names for names in packages(source, target) if by_words or not names.startswith("dict-")]
    return f"Better with: sudo apt-get install {found[0]}" if found else ""


def _without(lang: str) -> str:
    return (
        f"No engine and no dictionary of it can be had from Debian. A neural engine may know it: --engine "
        f"{lang}=ctranslate2:FOLDER (docs/translation.md), or two columns of words: --engine "
        f"{lang}=dictionary:words.tsv"
    )


def correction_files(out: Path, sheets: Sequence[Path] = ()) -> list[Path]:
    """List the files that hold the corrections of a collection, with sheets that are given to it.

    Of two that correct the same, the one of the later file counts: what was written on the page counts more
    than any sheet, so that one which is given again does not undo it.
    """
    return [out / CORRECTIONS, *sheets, out / "index" / CORRECTIONS]


def make_plan(photos: str | Path, options: MakeOptions, out: str | Path | None = None) -> Plan:
    """Look at a folder and at this computer, and plan the work.

    `out` is the collection, of which the corrections count; None where there is none yet. Raises UserError
    for a folder without media, corrections that cannot be read, an engine that cannot work, and where nothing
    can be made: few or no captions, and a tower that has no text side.
    """
    corrections = [Path(one) for one in options.corrections]
    require_files(corrections)
    folder = Path(photos)
    files = corrections if out is None else correction_files(Path(out), corrections)
    found = look(
        folder,
        lang=options.lang,
        exclude=options.exclude,
        # Lines that are no corrections are told by those who take them in.
        corrections=read_corrections(files, [], media=folder),
    )
    tower = _tower(options.vision)
    recipe = None
    if found.captioned >= FEWEST:
        # NRCCR's terms are not shown to add anything to plain translations (docs/results.md).
        recipe = options.recipe or ("glossed" if is_known(found.source) else "translate_train")
        load_recipe(recipe)
    elif not tower.is_dual:
        have = f"{found.captioned} photos with captions in one language; {FEWEST} are needed to learn from"
        lacks = f"{options.vision} has no text side"
        look_first = ""
        if tower.is_dual is None:
            lacks = f"whether {options.vision} has a text side is not known before it is downloaded"
            look_first = f" If it has one, download it first: hf download {options.vision}"
        raise UserError(
            f"{folder} has {have}, and {lacks}, so it cannot be searched without learning. Write captions, "
            f"or name a model with both sides: --vision {VISION}.{look_first}"
        )
    chosen = tuple(ways(found, options, recipe))
    if recipe not in (None, "glossed") and not any(way.by in LEARNT for way in chosen):
        recipe = "source_only" if options.recipe is None else recipe
    plan = Plan(
        found=found,
        options=options,
        ways=chosen,
        tower=tower.folder,
        is_dual=tower.is_dual,
        recipe=recipe,
        expected=_expected(found.source, chosen) if recipe == "glossed" else {},
    )
    return _with_forecast(plan, tower.download)


def _expected(source: str, chosen: Sequence[Way]) -> dict[str, Share]:
    """Shares expected of languages in which nobody wrote captions."""
    through = {
        way.lang: tuple(filter(None, [way.engine if way.by == "dictionary" else way.back]))
        for way in chosen
        if way.by in ("engine", "dictionary", "encoder")
    }
    return expectations(source, through)


class _Tower(NamedTuple):
    folder: Path | None
    """None where it must be downloaded first."""
    is_dual: bool | None
    """The same as `Plan.is_dual`."""
    download: str | None = None
    """Words for what must be downloaded."""


def _tower(name: str) -> _Tower:
    """Find a vision tower on this computer, or ask the hub about it. Raises UserError."""
    from dragoman.models.hub import model_folder
    from dragoman.models.sentences import dual

    if Path(name).exists():
        return _Tower(folder := model_folder(name), dual.holds_both_sides(folder))
    from huggingface_hub import HfApi, snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=WANTED, local_files_only=True))
        return _Tower(folder, dual.holds_both_sides(folder))
    except Exception:
        # The client raises errors of its own, changing between versions; what it lacks is asked for below.
        pass
    try:
        info = HfApi().model_info(name, files_metadata=True, timeout=10)
    except Exception as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"The vision tower {name!r} is not on this computer, and the hub cannot be asked ({reason}). "
            f"Name a folder: --vision FOLDER, or download it where there is a network: hf download {name}"
        ) from None
    # Folders of a repository, such as ONNX copies, are left there.
    files = [one for one in info.siblings or [] if "/" not in one.rfilename]
    size = sum(one.size or 0 for one in files if one.rfilename.endswith((".safetensors", ".json")))
    kind = (info.config or {}).get("model_type")
    is_dual = True if name == VISION else dual.kind_has_both_sides(kind) if isinstance(kind, str) else None
    return _Tower(None, is_dual, f"{name}, {size / 1e9:.1f} GB, from huggingface.co")


def _with_forecast(plan: Plan, download: str | None) -> Plan:
    """Measure this computer by a few photos and captions, and forecast from that."""
    found, options = plan.found, plan.options
    items = found.images + found.videos
    captions = sum(found.captions.values())
    stages: dict[str, float] = {"read the captions": 1 + items * 1e-3 + captions * 2e-4}
    translated = [way for way in plan.way(*LEARNT) if way.engine]
    if plan.recipe is not None:
        own = found.captions[found.source]
        for way in translated:
            stages[f"translate into {language(way.lang).name}"] = _seconds_of(way, found, own)
        if translated:
            stages["judge the translations"] = 3 + own * len(translated) * 2e-3
        for way in plan.way("dictionary"):
            stages[f"read the dictionary of {language(way.lang).name}"] = 5
    stages["look at the photos"] = 3 + _photo_seconds(plan) * (items + 20 * found.videos)
    if plan.recipe is not None:
        texts = captions + found.captions[found.source] * len(translated)
        if plan.recipe == "glossed":
            stages["read the texts"] = 3 + (texts + 10_000) * 1.2e-3
        config = load_recipe(plan.recipe)(found.source, tuple(way.lang for way in translated), "")
        steps = config.steps or config.epochs * max(own // config.batch_size, 1)
        # Measured on one core: 0.1 s a step of 512 English captions, and half of that more for each language.
        a_step = (0.1 + 0.05 * len(translated)) * config.batch_size / 512
        stages["learn"] = 10 + min(steps, steps_for(int(SHARES[0] * own), config)) * a_step
        if plan.is_dual is not False:
            stages["compare with the public model"] = 10
        stages["learn what scores are worth"] = 10
    stages["index"] = 3 + items * 4e-3 + 30 * found.videos
    weights = (
        0 if plan.tower is None else sum(file.stat().st_size for file in plan.tower.glob("*.safetensors"))
    )
    licences = [f"{options.vision}: {licence_of(plan.tower, options.vision)}"]
    if plan.recipe == "glossed":
        licences.append(f"Universal Sentence Encoder multilingual, by {use.PACKAGE}: Apache-2.0")
    for way in plan.ways:
        if way.engine:
            licences.append(f"{way.engine}: {licence_of(None, way.engine)}")
    return replace(
        plan,
        stages=stages,
        bytes=60_000_000 * (plan.recipe is not None)
        + items * 8_000
        + captions * (1 + len(translated)) * 3_000,
        memory=900_000_000 + 3 * weights + captions * (1 + len(translated)) * 4_000,
        downloads=(download,) if download else (),
        licences=tuple(dict.fromkeys(licences)),
    )


def steps_for(captions: int, config: TrainConfig) -> int:
    """Steps of a training on so many source captions: those of the recipe, or fewer where that would be more
    than `EPOCHS` of them, by which a small collection is learned by heart."""
    fewer = max(round(EPOCHS * captions / config.batch_size), FEWEST_STEPS)
    return fewer if config.steps is None else min(config.steps, fewer)


def timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _seconds_of(way: Way, found: Found, captions: int) -> float:
    """Seconds of a translation and its way back, by a sample. Raises UserError for an engine that cannot
    work."""
    assert way.engine is not None
    sample = [text for text in found.sample if text]
    total = 0.0
    legs = [(way.engine, found.source, way.lang)]
    legs += [(way.back, way.lang, found.source)] if way.back else []
    for spec, source, target in legs:
        engine = open_engine(spec, source, target)
        seconds = timed(partial(engine.translate, sample, 120))
        # Programs take their time to start, whatever the number of lines.
        calls = -(-captions // engine.batch_size)
        total += seconds * (calls if engine.batch_size >= 200 else captions / max(len(sample), 1))
    return total


def _photo_seconds(plan: Plan) -> float:
    """Seconds that the tower needs for a photo, by a sample; a guess where it must be downloaded first."""
    if plan.tower is None:
        return 0.25
    from PIL import Image

    from dragoman.models.vision import VisionTower, checked_device

    tower = VisionTower.load(plan.tower, checked_device(plan.options.device))
    picture = Image.new("RGB", (640, 480))
    tower.embed([tower.prepare(picture) for _ in range(4)])
    # Of a busy computer the best of three tells more than their mean.
    seconds = min(timed(lambda: tower.embed([tower.prepare(picture) for _ in range(4)])) for _ in "123") / 4
    # Photos of a camera take their time to be opened.
    sizes = [file.stat().st_size for file in plan.found.files if file.is_file()]
    return seconds + 2e-8 * (sum(sizes) / len(sizes) if sizes else 0)


def free_room(folder: Path) -> int:
    """Bytes that are free on the disk of a folder that may not be there yet."""
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free
