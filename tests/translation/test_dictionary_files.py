"""Dictionaries as they are read: the layouts of FreeDict, tables, and files that are damaged."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path

import pytest
from dictd_files import number, write_dictd, write_table

from dragoman.errors import UserError
from dragoman.translation import dictionaries
from dragoman.translation.dictionaries import Entry, read_dictionary, words_of

# As FreeDict writes them, one of each layout that its dictionaries have.
LAYOUTS = [
    ("dog <n>\npes\n", [("dog", "pes", "n")]),
    ("run <v>\n [neprav] běžet\n         Note: run/ran/run\n", [("run", "běžet", "v")]),
    ("man!\nčlověče\n", [("man", "člověče", "")]),
    ("retail /ɹˈiːteɪl/ <v>\nmanwerthu <v>\n", [("retail", "manwerthu", "v")]),
    ("benefits  (advantages) /bˈɛ ɐdv/ <n>\nllesoedd <n, p, m>\n", [("benefits", "llesoedd", "n")]),
    ("change /tʃˈeɪndʒ/ <v>\n\nbadilisha\n", [("change", "badilisha", "v")]),
    (
        "bafu /bˈafu/ <n> [sg=pl]\n1.\nbathroom\n2.\nbathtub\n",
        [("bafu", "bathroom", "n"), ("bafu", "bathtub", "n")],
    ),
    (
        "shipa /ʃ/ <n> (pl: {mashipa})\n\nnerve\n; vessel\n",
        [("shipa", "nerve", "n"), ("shipa", "vessel", "n")],
    ),
    ("fagio <n>\n Plural of {ufagio}: broom   See also: {ufagio}\n", [("fagio", "broom", "n")]),
    (
        "kwa heri, kwaheri /kwa hˈeri/ /kwahˈeri/\n\ngoodbye\n",
        [("kwa heri", "goodbye", ""), ("kwaheri", "goodbye", "")],
    ),
    ("reply /riplai/\n1. freagair\n2. freagra\n", [("reply", "freagair", ""), ("reply", "freagra", "")]),
    ("fire /x/ <n>\nfire escape/ladder\n", [("fire", "fire escape", "n"), ("fire", "ladder", "n")]),
    ('warm /w/ <N>\n1. गरम~करना\n      "It was warm, very."\n', [("warm", "गरम करना", "n")]),
    (
        "edit /ˈɛdɪt/ <v>\naufbereiten <v, trans> [tech.], redigieren <v>\n   Synonym: {work up}\n\n"
        " see: {editing}, {edited}\n\n",
        [("edit", "aufbereiten", "v"), ("edit", "redigieren", "v")],
    ),
    ("plays /p/\nTheaterstücke <pl>\n", [("plays", "Theaterstücke", "n")]),
    ("Africa /x/\nAn Afraic\n", [("Africa", "An Afraic", "")]),
    ("headword (in dictionary /h/ <n>\ngair (mewn geiriadur\n", [("headword", "gair", "n")]),
    ("people <n>\nlid (s určitým členem (the people))\n", [("people", "lid", "n")]),
    ("animal´s hair\nsrst\n", [("animal's hair", "srst", "")]),
    ("clock-wise\npo směru, hodinových ručiček … a dál a dál\n", [("clock-wise", "po směru", "")]),
    ("inch /ˈɪntʃ/ (in /ˈɪn/)\nZoll <neut>, Fuß /fuːs/\n", [("inch", "Zoll", "n"), ("inch", "Fuß", "n")]),
    ("station\n1. ?\n", []),
    ("one two three four five six seven\nosm\n", []),
]


@pytest.mark.parametrize(("text", "wanted"), LAYOUTS, ids=[text.split("\n")[0] for text, _ in LAYOUTS])
def test_an_entry_is_read_in_each_layout(
    tmp_path: Path, text: str, wanted: list[tuple[str, str, str]]
) -> None:
    base = write_dictd(tmp_path / "freedict-eng-ces", [("other", "other\njiný\n"), ("word", text)])
    found = read_dictionary(str(base))
    assert found.entries == [Entry("other", "jiný", ""), *(Entry(*one) for one in wanted)]
    assert (found.name, found.source, found.target) == ("freedict-eng-ces", "en", "cs")


def test_every_entry_is_found_by_its_place_however_large(tmp_path: Path) -> None:
    # Beyond 64 and 4,096 bytes the numbers of the index have more digits.
    texts = {
        f"word{n}": f"word {'abcdefghij'[n % 10]}{'x' * (n % 7)} q{n // 70}\nslovo{n}\n" for n in range(400)
    }
    found = read_dictionary(str(write_dictd(tmp_path / "eng-ces", texts)))
    assert [entry.form for entry in found.entries] == [f"slovo{n}" for n in range(400)]
    assert [number(n) for n in (0, 63, 64, 4095, 4096)] == ["A", "/", "BA", "//", "BAA"]


def test_two_words_that_lead_to_one_entry_are_one(tmp_path: Path) -> None:
    base = write_dictd(tmp_path / "eng-ces", {"cat": "cat\nkočka\n"})
    index = tmp_path / "eng-ces.index"
    index.write_text(
        index.read_text() + index.read_text().splitlines()[1].replace("cat", "kitty") + "\tKitty\n"
    )
    assert read_dictionary(str(base)).entries == [Entry("cat", "kočka", "")]


def test_a_dictionary_is_found_by_its_files_and_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_dictd(tmp_path / "dictd" / "freedict-eng-ces", {"cat": "cat\nkočka\n"})
    monkeypatch.setattr(dictionaries, "INSTALLED", base.parent)
    for place in (f"{base}", f"{base}.index", f"{base}.dict.dz", "freedict-eng-ces", "eng-ces"):
        assert read_dictionary(place).files == (Path(f"{base}.index"), Path(f"{base}.dict.dz"))
    Path(f"{base}.dict").write_bytes(gzip.decompress(Path(f"{base}.dict.dz").read_bytes()))
    Path(f"{base}.dict.dz").unlink()
    assert read_dictionary("eng-ces").entries == [Entry("cat", "kočka", "")]


def test_a_table_is_read_with_several_words_and_notes_in_a_cell(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "t.tsv", "dog, hound = cão; cachorro (BR)", "to run = correr", head="eng\tpt_BR"
    )
    found = read_dictionary(str(path))
    assert (found.source, found.target) == ("en", "pt-BR")
    assert [(one.headword, one.form) for one in found.entries] == [
        *[("dog", "cão"), ("dog", "cachorro"), ("hound", "cão"), ("hound", "cachorro"), ("to run", "correr")]
    ]
    comma = tmp_path / "t.csv"
    comma.write_text('en,cy\ndog,"ci, hwn"\n')
    assert [one.form for one in read_dictionary(str(comma)).entries] == ["ci", "hwn"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"dog\tci\n", r"line 1: expected two columns that are named by their languages.*got 'dog, ci'"),
        (b"en\tcy\tx\n", "line 1: expected two columns"),
        (b"en\tcy\ndog\n", "line 2: 1 cells, but the header has 2"),
        (b"en\tcy\ndog\tc\xff\n", "line 2: a byte of it is not UTF-8"),
        (b"en\tcy\n", "holds no translation"),
    ],
)
def test_a_table_that_does_not_serve_names_the_line(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(text)
    with pytest.raises(UserError, match=message):
        read_dictionary(str(path))


def test_a_dictionary_that_is_missing_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"apt-get install --reinstall dict-freedict-eng-xho"):
        read_dictionary("freedict-eng-xho")
    base = write_dictd(tmp_path / "mine", {"cat": "cat\nkočka\n"})
    with pytest.raises(
        UserError, match=r"'mine' does not end with two languages.*Rename the files mine\.index"
    ):
        read_dictionary(str(base))
    base = write_dictd(tmp_path / "eng-ces", {"cat": "cat\nkočka\n"})
    Path(f"{base}.dict.dz").unlink()
    with pytest.raises(UserError, match=r"eng-ces\.index has no eng-ces\.dict\.dz beside it"):
        read_dictionary(str(base))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat\tA", "line 3 of eng-ces.index is not a word, a place and a length"),
        ("cat\tA!\tB", "line 3 of eng-ces.index is not a word"),
        ("cat\tA\tBAAA", "line 3 of eng-ces.index points beyond"),
        ("cat\t///////\tB", "line 3 of eng-ces.index is not a word"),
    ],
)
def test_a_damaged_index_names_the_line_and_the_fix(tmp_path: Path, line: str, message: str) -> None:
    base = write_dictd(tmp_path / "eng-ces", {"cat": "cat\nkočka\n"})
    index = tmp_path / "eng-ces.index"
    index.write_text(index.read_text() + line + "\n")
    with pytest.raises(UserError, match=f"{message}.*install --reinstall dict-freedict-eng-ces"):
        read_dictionary(str(base))


def test_what_would_unpack_to_more_than_any_dictionary_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_dictd(tmp_path / "eng-ces", {"cat": "cat\n" + "kočka\n" * 100_000})
    assert Path(f"{base}.dict.dz").stat().st_size < 10_000
    monkeypatch.setattr(dictionaries, "LARGEST", 100_000)
    with pytest.raises(UserError, match="more than 0 MiB of text"):
        read_dictionary(str(base))


def test_an_index_that_reads_the_same_text_over_and_over_is_refused(tmp_path: Path) -> None:
    base = write_dictd(tmp_path / "eng-ces", {"cat": "cat\n" + "kočka\n" * 100})
    index = tmp_path / "eng-ces.index"
    index.write_text("".join(f"cat\t{number(n)}\t{number(500)}\n" for n in range(20, 26)))
    with pytest.raises(UserError, match="lie over one another"):
        read_dictionary(str(base))


def test_damage_anywhere_is_told_and_never_a_traceback(tmp_path: Path) -> None:
    """A thousand damaged pairs of files: each is read, or refused with what to do."""
    chance, refused = random.Random(7), 0
    entries = {f"word{n}": text for n, (text, _) in enumerate(LAYOUTS)}
    base = write_dictd(tmp_path / "freedict-eng-ces", entries)
    whole = {end: Path(f"{base}{end}").read_bytes() for end in (".index", ".dict.dz")}
    plain = gzip.decompress(whole[".dict.dz"])
    for _ in range(1000):
        # Text that is damaged before it is packed passes every checksum.
        packed = chance.random() < 0.5
        files = {**whole} if packed else {".index": whole[".index"], ".dict.dz": plain}
        damaged = bytearray(files[end := chance.choice([".index", ".dict.dz"])])
        for _ in range(chance.choice([1, 2, 20])):
            place = chance.randrange(len(damaged) + 1)
            match chance.randrange(4):
                case 0:
                    damaged[place : place + 1] = bytes([chance.randrange(256)])
                case 1:
                    del damaged[place : place + chance.randrange(1, 9)]
                case 2:
                    damaged[place:place] = chance.choice(
                        [b"\t", b"\n", b"<", b"(", b"[", b"{", b"/", b"\0", b"/////"]
                    )
                case 3:
                    del damaged[place:]
        files[end] = bytes(damaged)
        for name, data in files.items():
            Path(f"{base}{name}").write_bytes(data)
        try:
            found = read_dictionary(str(base))
        except UserError as error:
            refused += 1
            assert re.search(r"apt-get install|gzip -t|Save it", str(error)), error
        else:
            assert all(1 <= len(one.form.split()) <= dictionaries.LONGEST_FORM for one in found.entries)
    assert 300 < refused < 950


def test_words_end_at_signs_but_not_at_vowels_of_india_or_within_a_word() -> None:
    text = "A man’s T-shirt, (red) — 'नीला कुत्ता।' 2½ خوب، l'eau rock'n'roll- 狗。"
    assert words_of(text) == [
        *["A", "man's", "T-shirt", "red", "नीला", "कुत्ता", "2½", "خوب", "l'eau", "rock'n'roll", "狗"]
    ]
