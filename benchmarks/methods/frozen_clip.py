"""What brings Portuguese to a frozen CLIP of toy size, in the generated world: adapters, and maps of a
sentence encoder; and what the conditioning of adapters on the caption is worth.

    python benchmarks/methods/frozen_clip.py --out WORK [--seeds 1,2,3] [--arms full;dynamic]

A text transformer and a linear image side learn English captions of scenes and become a CLIP, all of which is
then frozen. Pictures are not rendered: their vectors are the facts of the scenes. Machine Portuguese (apt-get
install apertium apertium-eng-spa apertium-es-pt) is learned by adapters (DASD), whose W is made from the
caption, is a constant, or is made from another caption; by embeddings alone; by fine-tuning the whole text
side; and by heads on the kept vectors `use` of texts (pip install 'dragoman[use]'), which stand where the
CLIP puts English captions, or beside images that are moved. Tests are captions by grammars; of Spanish
nothing was learned. Runs that are finished are not repeated. Writes frozen_clip.json and frozen_clip.md
beside this file.

Named beforehand: the primary figure is SumR in Portuguese. `dynamic` must beat `static` and `shuffled`, or
conditioning brings nothing. Rates were chosen among three or more on machine captions of val, one seed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from dragoman.corpus import BuildOptions, Corpus, build_jsonl
from dragoman.corpus.features import write_features
from dragoman.corpus.given import GivenFeatures
from dragoman.features.texts import extract_texts
from dragoman.models.text.adapters import AdaptedText
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, spread, table
from dragoman.recipes import load_recipe
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.trained import Retriever
from dragoman.scenes.items import picture_items, split_of
from dragoman.scenes.scene import (
    COLOURS,
    COUNTS,
    GROUNDS,
    KINDS,
    PLACES,
    RELATIONS,
    SIZES,
    Clip,
    Scene,
)
from dragoman.scenes.world import WorldSettings, human_captions
from dragoman.training import train
from dragoman.translation import translate

HERE = Path(__file__).parent
ITEMS, TARGET, UNSEEN = 2400, "pt", "es"
ENGINE = "apertium:eng-spa|es-pt"
WIDTH, BLOCKS, HEADS, RANK = 64, 4, 4, 4
"""R is a sixteenth of the width, as 32 of 512 in the paper."""
ENGLISH = {"steps": "800", "batch_size": "128", "learning_rate": "1e-3", "pretrained_learning_rate": "1e-3"}
STEPS = "200"
SHARED = {
    "steps": STEPS,
    "batch_size": "64",
    "weight_decay": "0.01",
    "validation_captions": "600",
    "validate_every": "4",
    "patience": "99",
    "checkpoint_every": "500",
}
RATES = {"full": "3e-3", "adapters": "3e-3"}
HEADS_ON_USE = {
    "mlp": "3e-3",
    "teacher": "3e-3",
    "teacher_contrast": "1e-2",
    "uclip": "3e-3",
    "mclip": "1e-3",
}
"""Recipes whose text side is a head on `use`, and their rates."""
CONDITIONINGS = ("dynamic", "static", "shuffled")
BARE_OF = "no embeddings"
BARE = {f"{name}, {BARE_OF}": name for name in CONDITIONINGS}
"""Adapters alone, over embeddings of Portuguese pieces that mean nothing to the CLIP."""
ON_USE = ("anchor", *HEADS_ON_USE)
ARMS = ("full", *CONDITIONINGS, "embeddings", *BARE, *ON_USE)
COMPARED = (
    *(("dynamic", other) for other in ("static", "shuffled", "embeddings", "full")),
    *((f"dynamic, {BARE_OF}", f"{other}, {BARE_OF}") for other in ("static", "shuffled")),
    *((name, "mlp") for name in ON_USE if name != "mlp"),
    ("teacher", "anchor"),
)


def main() -> None:
    """Make the CLIP, train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=";".join(ARMS), help="by semicolons")
    options = parser.parse_args()
    prepare(options.out)
    seeds, arms = options.seeds.split(","), options.arms.split(";")
    experiment.perform([trial(options.out, name, seed) for seed in seeds for name in arms])
    everything = measured(options.out, seeds)
    experiment.write_results(HERE, everything, page(everything), "frozen_clip")


def prepare(out: Path) -> None:
    """The world, its translations, the CLIP, and what the CLIP says of pictures and English captions."""
    if not (out / "world" / "manifest.json").is_file():
        write_scenes(out)
    translate(out / "world", to=TARGET, engine=ENGINE)
    corpus = Corpus.open(out / "world")
    begun, clip = out / "begun", out / "clip"
    if not (begun / "tokenizer.json").is_file():
        begin_clip(begun, Corpus.open(out / "world"))
    config = load_recipe("source_only")("en", (), "facts").with_settings(
        {
            "text": f"hf:{begun}",
            "text.layers": "all",
            "text.embeddings": "true",
            "text.own": "true",
            "dual.text_head": "none",
            "dual.joint": str(WIDTH),
            "word_dropout": "0",
            "patience": "99",
            "validate_every": "5",
            **ENGLISH,
        }
    )
    train(out / "world", config, out / "english", device="cpu")
    if not (clip / "model.safetensors").is_file():
        write_clip(clip, begun, out / "english", corpus)
    if "clip_texts" not in Corpus.open(out / "world").feature_names:
        extract_texts(out / "world", encoder=clip, name="clip_texts")
    extract_texts(out / "world", encoder="use")


def write_scenes(out: Path) -> None:
    """A corpus of scenes, whose vectors `facts` are 0 but for what they hold."""
    settings = WorldSettings(items=ITEMS, captions=3, languages=(TARGET, UNSEEN))
    items = picture_items(settings.items, settings.seed)
    captions = [
        {"caption_id": one.caption_id, "item_id": one.item_id, "lang": one.lang, "role": one.role}
        | {"text": one.text, "split": split_of(int(one.item_id[1:]))}
        for one in human_captions(settings)
    ]
    out.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(json.dumps(caption) for caption in captions)
    (out / "captions.jsonl").write_text(lines, encoding="utf-8")
    np.save(out / "facts.npy", np.array([facts(item.shows) for item in items], np.float32))
    (out / "ids.txt").write_text("\n".join(item.item_id for item in items), encoding="utf-8")
    given = GivenFeatures(vectors=out / "facts.npy", ids=out / "ids.txt")
    build_jsonl(out / "captions.jsonl", out / "world", BuildOptions(features=(given,)))


def facts(scene: Scene | Clip) -> list[float]:
    """Ground, place and relation; of each group kind, colour, size, number, and kind with colour."""
    found = [*one_of(GROUNDS, scene.ground), *one_of(PLACES, scene.place), *one_of(RELATIONS, scene.relation)]
    pairs = [(kind, colour) for kind in KINDS for colour in COLOURS]
    for group in (scene.first, scene.second):
        found += one_of(KINDS, group and group.kind) + one_of(COLOURS, group and group.colour)
        found += one_of(SIZES, group and group.size) + one_of(COUNTS, group and group.count)
        found += one_of(pairs, group and (group.kind, group.colour))
    return found


def one_of(all_: Sequence[object], value: object) -> list[float]:
    """1 in the place of the value, 0 elsewhere."""
    return [float(one == value) for one in all_]


def begin_clip(folder: Path, corpus: Corpus) -> None:
    """A CLIP that knows nothing, whose tokenizer has pieces of both languages."""
    texts = corpus.select(split="train", role=("human", "mt")).texts
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    # The id 2 of an end means something else to transformers, as CLIPs of before have it wrongly.
    special = ["[PAD]", "[BOS]", "[UNK]", "[EOS]"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=1200, special_tokens=special, initial_alphabet=letters)
    )
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[BOS]", "[EOS]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[BOS] $A [EOS]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "bos_token": "[BOS]", "eos_token": "[EOS]", "unk_token": "[UNK]"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=48, **names
    ).save_pretrained(folder)
    torch.manual_seed(0)
    body = {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3}
    text = body | ids | {"vocab_size": len(tokenizer.get_vocab()), "max_position_embeddings": 48}
    config = transformers.CLIPConfig(
        text_config=text | {"intermediate_size": 4 * WIDTH},
        vision_config=body | {"intermediate_size": WIDTH, "image_size": 32, "patch_size": 16},
        projection_dim=WIDTH,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    # No picture is read, but a CLIP without is none.
    size = {"height": 32, "width": 32}
    transformers.CLIPImageProcessor(size=size, crop_size=size).save_pretrained(folder)


def write_clip(folder: Path, begun: Path, run: Path, corpus: Corpus) -> None:
    """A CLIP folder of the trained text side, and the feature set `clip` of the trained image side."""
    retriever = Retriever.load(run)
    trunk = retriever.model.trunk
    assert isinstance(trunk, HuggingFaceText) and trunk.projection is not None
    model = transformers.AutoModel.from_pretrained(begun)
    model.text_model.load_state_dict(trunk.trunk.state_dict())
    model.text_projection.load_state_dict(trunk.projection.state_dict())
    seen = corpus.features("facts")
    with torch.inference_mode():
        vectors = retriever.model.raw_image(torch.from_numpy(np.asarray(seen.vectors, np.float32)))
    inputs = {"facts": seen.manifest["files"]["vectors.npy"]["sha256"]}
    write_features(corpus.folder / "features" / "clip", seen.ids, vectors.numpy(), inputs=inputs)
    for kind in (transformers.AutoTokenizer, transformers.CLIPImageProcessor):
        kind.from_pretrained(begun).save_pretrained(folder)
    model.save_pretrained(folder)


def arm(out: Path, name: str) -> Arm:
    """One way of learning Portuguese."""
    clip = out / "clip"
    if name in ON_USE:
        settings = {} if name == "anchor" else SHARED | {"learning_rate": HEADS_ON_USE[name]}
        return Arm(recipe=name, targets=(TARGET,), features="clip", settings=settings)
    if name == "full":
        settings = {
            "text": f"hf:{clip}",
            "text.layers": "all",
            "text.embeddings": "true",
            "text.own": "true",
            "dual.text_head": "none",
            "word_dropout": "0",
            "pretrained_learning_rate": RATES["full"],
        }
        return Arm(recipe="teacher_contrast", targets=(TARGET,), features="clip", settings=SHARED | settings)
    settings = {
        "text.path": str(clip),
        "text.rank": str(RANK),
        "text.conditioning": "static" if name == "embeddings" else BARE.get(name, name),
        "text.layers": "none" if name == "embeddings" else "all",
        "text.embeddings": str(name not in BARE).lower(),
        "pretrained_learning_rate": RATES["adapters"],
    }
    return Arm(recipe="dasd", targets=(TARGET,), features="clip", settings=SHARED | settings)


def trial(out: Path, name: str, seed: str) -> Trial:
    """One arm with one seed."""
    folder = out / "runs" / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    # Adapters and the text side of the CLIP have no word of Spanish.
    asked = (TARGET, "en", *((UNSEEN,) if name in ON_USE else ()))
    return Trial(
        corpus=out / "world",
        arm=arm(out, name),
        seed=int(seed),
        run=folder / "run",
        reports={folder / "report": EvaluationSettings(languages=asked)},
        measures={folder / "parameters.json": parameters},
    )


def parameters(trial: Trial) -> dict[str, int]:
    """Parameters that were trained, the embedding table apart."""
    model = Retriever.load(trial.run).model
    trunk = model.trunk
    if not isinstance(trunk, HuggingFaceText):
        return {"embeddings": 0, "others": sum(one.numel() for one in model.parameters())}
    if isinstance(trunk, AdaptedText):
        (language,) = trunk.languages
        tables = language.table.numel()  # type: ignore[union-attr]
        count = sum(one.numel() for part in (language, trunk.conditioning) for one in part.parameters())
    else:
        tables = trunk.trunk.get_input_embeddings().weight.numel()
        count = sum(one.numel() for one in trunk.parameters())
    return {"embeddings": tables, "others": count - tables}


def measured(out: Path, seeds: Sequence[str]) -> dict[str, Any]:
    """Gather what is finished."""
    found: dict[str, list[dict[str, Any]]] = {}
    reports: dict[str, list[Path]] = {}
    for name in ARMS:
        for one in (trial(out, name, seed) for seed in seeds):
            if one.missing:
                continue
            (folder,), (counted,) = one.reports, one.measures
            results = experiment.read_report(folder)["results"]
            reports.setdefault(name, []).append(folder)
            told = {
                "seed": one.seed,
                "sum_r": {lang: one["direct"]["sum_r"] for lang, one in results.items()},
                "untagged": results[TARGET].get("untagged", {}).get("sum_r"),
                "parameters": json.loads(counted.read_text(encoding="utf-8")),
                "minutes": experiment.minutes(folder),
            }
            found.setdefault(name, []).append(told)
    differences = {
        f"{better} less {other}": experiment.difference(reports[other], reports[better], language=TARGET)
        for better, other in COMPARED
        if better in reports and other in reports
    }
    command = f"python benchmarks/methods/frozen_clip.py --out WORK --seeds {','.join(seeds)}"
    settings = {"scenes": ITEMS, "width": WIDTH, "blocks": BLOCKS, "rank": RANK, "rates": RATES}
    return experiment.circumstances(
        command, settings=SHARED | settings, results=found, differences=differences
    )


def moves_images(name: str) -> bool:
    """Tell whether vectors of images change."""
    return arm(Path(), name).config(1).dual.image_head != "none"


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    settings, results = everything["settings"], everything["results"]
    yield "# Further languages for a frozen CLIP of toy size\n"
    yield (
        f"A text transformer of {settings['blocks']} blocks and width {settings['width']} learned English "
        f"captions of {settings['scenes']} scenes of the generated world, two thirds of them for training, "
        "whose pictures are vectors of their facts. Then it is frozen, and machine Portuguese is learned by "
        f"adapters of rank {settings['rank']}; from there on by all of the text side (`full`: "
        "`teacher_contrast`, which reads English captions as well); or by heads on vectors of the Universal "
        f"Sentence Encoder. {settings['steps']} steps of {settings['batch_size']} pairs; `anchor` is found "
        "in closed form, from the English captions alone. Tests are captions by grammars, which use words "
        "that the machine never writes; of Spanish nothing was learned. SumR = R@1 + R@5 + R@10 in both "
        "directions, at most 600; mean ± sample standard deviation over the seeds. `no tag` reads Portuguese "
        "as English. `trained` are parameters but those of embeddings. An index of the CLIP stays valid "
        "where no head moves its images.\n"
    )
    yield f"Command: `{everything['command']}`. Computer: {everything['computer']}, shared, one thread.\n"
    whole = results.get("full", [])
    rows = []
    for name, runs in results.items():
        tags = [one["untagged"] for one in runs if one["untagged"] is not None]
        counts = runs[0]["parameters"]
        share = counts["others"] / whole[0]["parameters"]["others"] if whole else math.nan
        minutes = statistics.median(one["minutes"] for one in runs)
        cells = [
            [one["sum_r"][lang] for one in runs if lang in one["sum_r"]] for lang in (TARGET, "en", UNSEEN)
        ]
        valid = "no" if moves_images(name) else "yes"
        counted = (f"{counts['others']:,}", f"{share:.1%}", f"{counts['embeddings']:,}")
        rows.append(
            (
                *(name, len(runs), spread(cells[0]), spread(tags), spread(cells[1]), spread(cells[2])),
                *(*counted, valid, f"{minutes:.1f}"),
            )
        )
    head = ("arm", "seeds", TARGET, "no tag", "en", UNSEEN, "trained", "of `full`", "embeddings")
    head = (*head, "index valid", "minutes")
    yield from table(head, rows)
    if everything["differences"]:
        over = experiment.told_over(list(everything["differences"].values()))
        yield f"\nDifferences of SumR in {TARGET}. {over}.\n"
        lines = [
            (name, f"{one['difference']:+.1f}", "{:+.1f} to {:+.1f}".format(*one["interval"]))
            for name, one in everything["differences"].items()
        ]
        yield from table(("arms", "difference", "95 %"), lines)


if __name__ == "__main__":
    main()
