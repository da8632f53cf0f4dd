"""`dragoman index` and `dragoman search`, typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import toy_model
from click.testing import CliRunner, Result
from tiny_videos import save_video
from toy_model import save_model, save_picture

from dragoman.cli import dragoman
from dragoman.errors import Exit, UserError
from dragoman.search.printing import plain

INDEXING = Path(__file__).parents[1] / "index"


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toy_model.install(monkeypatch)
    save_model(tmp_path / "run")
    for colour in ("red", "green", "blue"):
        save_picture(tmp_path / "photos" / f"{colour}.png", colour)
    (tmp_path / "photos" / "red.pt.txt").write_text("um quadrado vermelho\x9b2J", encoding="utf-8")
    (tmp_path / "photos" / "metadata.csv").write_text("path,year\nred.png,2001\nblue.png,2012\n")
    monkeypatch.chdir(tmp_path)


def typed(*arguments: object, **options: object) -> Result:
    return CliRunner().invoke(dragoman, [str(one) for one in arguments], **options)  # type: ignore[arg-type]


@pytest.fixture
def indexed() -> None:
    assert typed("index", "run", "photos", "--out", "index").exit_code == 0


def test_an_index_is_made_and_kept_up_to_date() -> None:
    done = typed("index", "run", "photos", "--out", "index")
    assert (done.exit_code, done.stdout) == (0, "index: 3 items, 3 added\n")
    shutil.copy("photos/red.png", "photos/copy.png")
    Path("photos/green.png").rename("photos/verde.png")
    Path("photos/torn\x7f.png").write_bytes(b"")
    Path("photos/torn.png").write_bytes(b"torn")
    done = typed("index", "run", "photos", "--out", "index", "--reject-file", "rejects.jsonl")
    assert done.exit_code == Exit.REJECTED
    assert done.stdout == "index: 4 items, 2 added, 1 moved among them, 1 removed, 2 rejected\n"
    assert "rejected torn\\x7f.png: its name holds a control character" in done.stderr
    assert "rejected torn.png: not an image of a known format" in done.stderr
    assert len(Path("rejects.jsonl").read_text().splitlines()) == 2


def test_texts_are_shown_by_their_title_and_what_else_they_are_called() -> None:
    Path("texts.jsonl").write_text(
        '{"item_id": "t1", "kind": "text", "lang": "en", "text": "A red boat\\nof 1891"}\n'
        '{"item_id": "t1", "lang": "pt", "text": "um barco vermelho"}\n'
        '{"item_id": "t2", "kind": "text", "lang": "en", "text": "Blue"}\n'
    )
    assert typed("corpus", "jsonl", "texts.jsonl", "--split", "test", "--out", "texts").exit_code == 0
    assert typed("index", "run", "texts", "--out", "index").stdout == "index: 2 items, 2 added\n"
    for lang, title in (("en", "A red boat"), ("de", "A red boat"), ("pt", "um barco vermelho")):
        shown = typed("search", "index", "red", "-k", 1, "--lang", lang).stdout
        assert shown == f"  1   1.000  t1  {title}\n"
    assert typed("search", "index", "red", "--paths").stdout == "t1\nt2\n"
    answer = json.loads(typed("search", "index", "red", "-k", 1, "--json").stdout)
    (hit,) = answer["hits"]
    assert (hit["item_id"], hit["kind"], hit["lang"], hit["file"]) == ("t1", "text", "en", "t1")
    assert hit["captions"] == {"en": "A red boat\nof 1891", "pt": "um barco vermelho"}


def test_what_it_will_take_is_said_before_the_work() -> None:
    done = typed("index", "run", "photos", "--out", "index")
    assert "index: 3 items, 3 to look at. Takes about 0.1 MB on the disk" in done.stderr


@pytest.mark.usefixtures("indexed")
def test_hits_are_lines_with_rank_score_path_and_caption() -> None:
    done = typed("search", "index", "um quadrado vermelho", "-k", 2)
    assert done.exit_code == 0
    first, second = done.stdout.splitlines()
    root = Path("photos").resolve()
    assert first == f"  1   1.000  {root}/red.png  um quadrado vermelho\\x9b2J"
    assert second.split()[0] == "2"
    assert done.stderr.startswith("Language: Portuguese (pt), 9")


@pytest.mark.usefixtures("indexed")
def test_json_is_one_object_a_query() -> None:
    Path("queries.txt").write_text("red square\n\nazul\n", encoding="utf-8")
    done = typed("search", "index", "--queries", "queries.txt", "--json", "-k", 1)
    red, blue = map(json.loads, done.stdout.splitlines())
    assert (red["query"]["text"], blue["query"]["text"]) == ("red square", "azul")
    (hit,) = red["hits"]
    assert {name: hit[name] for name in ("rank", "item_id", "relevance")} == {
        "rank": 1,
        "item_id": "red.png",
        "relevance": None,
    }
    assert hit["file"] == str(Path("photos/red.png").resolve())
    assert hit["metadata"]["year"] == 2001
    assert blue["hits"][0]["item_id"] == "blue.png"
    assert red["match"] is None
    piped = typed("search", "index", "--queries", "-", "--json", "-k", 1, input="azul\n")
    assert json.loads(piped.stdout)["hits"] == blue["hits"]


@pytest.mark.usefixtures("indexed")
def test_paths_are_for_other_programs() -> None:
    paths = [str(Path(f"photos/{name}.png").resolve()) for name in ("red", "green", "blue")]
    done = typed("search", "index", "red", "--print0")
    assert set(done.stdout_bytes.split(b"\0")) == {*map(os.fsencode, paths), b""}
    assert typed("search", "index", "red", "--paths", "-k", 1).stdout == f"{paths[0]}\n"


@pytest.mark.usefixtures("indexed")
def test_nothing_found_is_status_1_as_with_grep() -> None:
    done = typed("search", "index", "red", "--filter", "year>2050")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith("Nothing found.\n")
    assert typed("search", "index", "red", "--min-score", "0.9").stdout.count("\n") == 1


@pytest.mark.usefixtures("indexed")
def test_images_and_items_are_queries_too() -> None:
    done = typed("search", "index", "--image", "photos/blue.png", "--paths", "-k", 1)
    assert done.stdout.endswith("blue.png\n")
    done = typed("search", "index", "--like", "blue.png", "--paths")
    assert "blue.png" not in done.stdout
    assert done.stdout.count("\n") == 2


@pytest.mark.usefixtures("indexed")
def test_a_video_or_a_part_of_one_is_a_query_too() -> None:
    save_video(Path("clip.mp4"), ["red"] * 30 + ["blue"] * 10)
    assert typed("search", "index", "--video", "clip.mp4", "--paths", "-k", 1).stdout.endswith("red.png\n")
    done = typed("search", "index", "--video", "clip.mp4#t=3,4", "--json", "-k", 1)
    found = json.loads(done.stdout)
    assert (found["query"]["video"], found["hits"][0]["item_id"]) == ("clip.mp4#t=3,4", "blue.png")
    assert (found["language"], found["match"]) == (None, None)
    both = typed("search", "index", "green green", "--video", "clip.mp4#t=3,4", "--json")
    assert {hit["item_id"]: round(hit["score"], 1) for hit in json.loads(both.stdout)["hits"]} == {
        "blue.png": 0.7,
        "green.png": 0.7,
        "red.png": 0.0,
    }


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["index", "red", "--filter", "year>"], "stops making sense"),
        (["index", "red", "--queries", "queries.txt"], "--queries holds all queries"),
        (
            ["index", "--video", "a.mp4", "--queries", "queries.txt"],
            "leave out TEXT, --speech, --image, --video and",
        ),
        (["index", "--video", "gone.mp4"], "gone.mp4: no such file"),
        (["index", "--video", "clip.mp4#t=2,1"], "clip.mp4: the part from 2 to 1 seconds is empty"),
        (["index", "--video", "photos/red.png"], "red.png: not a video of a known format"),
        (["index"], "The query is empty"),
        (["nowhere", "red"], "nowhere does not exist"),
    ],
)
def test_what_does_not_fit_is_said(arguments: list[str], said: str) -> None:
    Path("queries.txt").write_text("red\n")
    done = typed("search", *arguments)
    assert isinstance(done.exception, UserError)
    assert done.exception.exit_code == Exit.USAGE
    assert said in str(done.exception)


@pytest.mark.usefixtures("indexed")
def test_a_pipe_that_closes_is_no_error() -> None:
    Path("queries.txt").write_text("red\n" * 3000)
    script = f"import sys; sys.path.insert(0, {str(INDEXING)!r}); import toy_model; toy_model.install()\n"
    script += "from dragoman.cli import main; sys.argv[0] = 'dragoman'; main()"
    arguments = ["search", "index", "--queries", "queries.txt", "--json", "--lang", "en"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()
    assert process.returncode == 0, complaint
    assert b"Traceback" not in complaint


def test_text_of_others_cannot_steer_a_terminal() -> None:
    assert plain("a\x1b[31m\n\u202eb\ud800") == "a\\x1b[31m\\n\\u202eb\\ud800"
    assert plain("cão 狗 می\u200cخواهم") == "cão 狗 می\u200cخواهم"
