"""Word lists through engines, and what becomes of them."""

from __future__ import annotations

import codecs
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translation_world import make_corpus

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.folders import sole_writer
from dragoman.translation import Engine, JobSettings, Lexicon, build_lexicon
from dragoman.translation.engine import EngineError, Rejected
from dragoman.translation.lexicon import lexicon_path

ENGLISH = {"cão": "Dog .", "cadela": "Dog .", "gato": "Cat ."}


class WordEngine(Engine):
    """Knows some words, alone before a full stop; what it does not know comes back as it went in."""

    name, version, batch_size = "fake:words", "1", 64

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        self.calls.append(list(lines))
        words = [line.removesuffix(" .") for line in lines]
        if "explode" in words:
            raise EngineError("it exploded")
        return [self.answers.get(word, f"{word} .") for word in words]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "corpus", [{"text": "a dog"}])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_HOME", str(tmp_path / "home"))


def word_list(folder: Path, content: str | bytes) -> Path:
    path = folder / "words.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def asked(corpus: Path, content: str | bytes) -> list[str]:
    """The words of a list that the engine is asked for."""
    engine = WordEngine(ENGLISH)
    build_lexicon(corpus, lang="pt", words=word_list(corpus.parent, content), engine=engine)
    lines = [line for call in engine.calls for line in call]
    assert all(line.endswith(" .") for line in lines), "each word is a sentence"
    return [line.removesuffix(" .") for line in lines]


def kept(corpus: Path, answers: dict[str, str]) -> str:
    """The lexicon that an engine with these answers gives of these words (and of one that it knows)."""
    words = word_list(corpus.parent, "\n".join([*answers, "cão"]))
    build_lexicon(corpus, lang="pt", words=words, engine=WordEngine(ENGLISH | answers))
    return (corpus / "lexicon" / "pt.tsv").read_text(encoding="utf-8").removesuffix("cão\tdog\n")


def test_each_word_stands_beside_its_translation_in_the_order_of_the_list(corpus: Path) -> None:
    words = word_list(corpus.parent, "gato\ncão\nrelva\ncadela\n")
    report = build_lexicon(corpus, lang="pt", words=words, engine=WordEngine(ENGLISH))
    assert report.path == corpus / "lexicon" / "pt.tsv"
    assert (report.words, report.kept) == (4, 3)
    assert report.path.read_bytes() == "gato\tcat\ncão\tdog\ncadela\tdog\n".encode()
    assert [path.name for path in sorted(report.path.parent.iterdir())] == [".lock", "pt.tsv"]


@pytest.mark.parametrize(
    ("answer", "entry"),
    [
        ("Dog .", "dog"),
        ("Dog.", "dog"),
        ("dog", "dog"),
        ("DOG ...", "dog"),
        (" dog . ", "dog"),
        ("T-shirt .", "t-shirt"),
        ("o'clock .", "o'clock"),
        ("कुत्ता .", "कुत्ता"),
        ("You announced .", "you announced"),
        ("the dog .", "the dog"),
        ("one of the dogs .", None),
        ("bicho .", None),  # not understood
        ("Bicho.", None),
        ("dog!", None),
        ("(dog) .", None),
        ("dog, cat .", None),
        ("dog/cat .", None),
        ("-dog .", None),
        ("dog- .", None),
        ("mp3 .", None),
        ("3 .", None),
        ("dog_s .", None),
        ("? .", None),
        ("", None),
        (".", None),
    ],
)
def test_an_answer_is_kept_where_it_is_something_else_and_short(
    corpus: Path, answer: str, entry: str | None
) -> None:
    assert kept(corpus, {"bicho": answer}) == (f"bicho\t{entry}\n" if entry else "")


def test_words_that_the_engine_rejects_are_left_out(corpus: Path) -> None:
    words = word_list(corpus.parent, "gato\nexplode\ncão\n")
    report = build_lexicon(corpus, lang="pt", words=words, engine=WordEngine(ENGLISH))
    assert (report.words, report.kept) == (3, 2)
    assert report.path.read_text(encoding="utf-8") == "gato\tcat\ncão\tdog\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("cão\ngato\n", ["cão", "gato"]),
        ("cão\ngato", ["cão", "gato"]),
        ("cão\r\ngato\r\n", ["cão", "gato"]),
        (codecs.BOM_UTF8 + "gato\ncão\n".encode(), ["gato", "cão"]),
        ("  cão\t\n\n \ngato \n", ["cão", "gato"]),
        ("# gato\n% gato\n#gato\ncão\n", ["cão"]),
        ("Rio\ncão\nLisboa\nONU\niPhone\n", ["cão"]),
        ("gato/S\ngato preto\nmp3\n12\n...\nex-\n-se\ngato_s\ncão\n", ["cão"]),
        ("guarda-chuva\nd'água\nd’água\ncão\n", ["guarda-chuva", "d'água", "d’água", "cão"]),
        ("cão\ngato\ncão\nca\u0303o\n", ["cão", "gato"]),
        ("नमस्ते\nไฟฟ้า\nمی\u200cخواهم\n犬\ncão\n", ["नमस्ते", "ไฟฟ้า", "می\u200cخواهم", "犬", "cão"]),
    ],
)
def test_the_lower_case_words_of_a_list_are_asked_once(
    corpus: Path, content: str | bytes, words: list[str]
) -> None:
    assert asked(corpus, content) == words


def test_accents_are_kept_composed_however_the_list_writes_them(corpus: Path) -> None:
    words = word_list(corpus.parent, "ca\u0303o\n")
    report = build_lexicon(corpus, lang="pt", words=words, engine=WordEngine(ENGLISH))
    assert report.path.read_text(encoding="utf-8") == "c\u00e3o\tdog\n"


def test_a_second_call_translates_nothing_and_a_longer_list_only_what_is_new(corpus: Path) -> None:
    engine = WordEngine(ENGLISH)
    for content, called in [
        ("cão\nrelva\n", [["cão .", "relva ."]]),
        ("cão\nrelva\n", []),
        ("gato\ncão\nrelva\n", [["gato ."]]),
    ]:
        engine.calls.clear()
        words = word_list(corpus.parent, content)
        report = build_lexicon(corpus, lang="pt", words=words, engine=engine)
        assert engine.calls == called
    assert report.path.read_text(encoding="utf-8") == "gato\tcat\ncão\tdog\n"


def test_batch_size_and_cache_are_as_asked(corpus: Path, tmp_path: Path) -> None:
    engine = WordEngine(ENGLISH)
    words = word_list(corpus.parent, "cão\ngato\ncadela\n")
    for _ in range(2):
        settings = JobSettings(batch_size=2, cache=tmp_path / "other")
        build_lexicon(corpus, lang="pt", words=words, engine=engine, settings=settings)
    assert engine.calls == [["cão .", "gato ."], ["cadela ."]]
    assert (tmp_path / "other" / "translations.sqlite").is_file()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("tag", ["pt", "por", "por_Latn"])
def test_a_language_has_one_file_whatever_it_is_called(corpus: Path, tag: str) -> None:
    words = word_list(corpus.parent, "cão\n")
    assert build_lexicon(corpus, lang=tag, words=words, engine=WordEngine(ENGLISH)).path.name == "pt.tsv"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"c\xe3o\ngato\n", r"words.txt is not UTF-8 \(invalid continuation byte at byte 1\). Convert it"),
        (b"", "words.txt holds no lower-case word. Give a text file with one word a line"),
        (b"Rio\n# gato\n12\n", "words.txt holds no lower-case word"),
        (None, "words.txt: No such file or directory. Give a text file with one word a line"),
        (b"relva\nzxqy\n", "fake:words knows none of the 2 words of .*words.txt. Give a list of pt words"),
    ],
)
def test_a_list_that_gives_nothing_is_an_error_and_the_lexicon_stays(
    corpus: Path, content: bytes | None, message: str
) -> None:
    before = kept(corpus, {"gato": "cat ."})
    path = corpus.parent / "words.txt"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        build_lexicon(corpus, lang="pt", words=path, engine=WordEngine(ENGLISH))
    assert before == "gato\tcat\n"
    assert (corpus / "lexicon" / "pt.tsv").read_text(encoding="utf-8") == "gato\tcat\ncão\tdog\n"


def test_unknown_languages_engines_and_corpora_are_named(corpus: Path, tmp_path: Path) -> None:
    words = word_list(tmp_path, "cão\n")
    with pytest.raises(UserError, match=r"Unknown language 'ptx'\. Did you mean pt"):
        build_lexicon(corpus, lang="ptx", words=words, engine=WordEngine(ENGLISH))
    with pytest.raises(UserError, match=r"No translation engine 'apertim'\. Known: apertium"):
        build_lexicon(corpus, lang="pt", words=words, engine="apertim:pt-es")
    with pytest.raises(UserError, match="nowhere does not exist, so it is no complete corpus folder"):
        build_lexicon(tmp_path / "nowhere", lang="pt", words=words, engine=WordEngine(ENGLISH))


def test_two_cannot_write_at_once_and_what_was_translated_is_kept(corpus: Path) -> None:
    engine, words = WordEngine(ENGLISH), word_list(corpus.parent, "cão\n")
    with (
        sole_writer(corpus / "lexicon"),
        pytest.raises(UserError, match="lexicon is being written by another dragoman process"),
    ):
        build_lexicon(corpus, lang="pt", words=words, engine=engine)
    assert build_lexicon(corpus, lang="pt", words=words, engine=engine).kept == 1
    assert engine.calls == [["cão ."]]


def opened(corpus: Path, content: str | bytes) -> Lexicon:
    path = lexicon_path(Corpus.open(corpus), "pt")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Lexicon.open(Corpus.open(corpus), "pt")


def test_a_lexicon_is_looked_up_from_both_sides_whatever_the_case(corpus: Path) -> None:
    lexicon = opened(corpus, "cão\tdog\ngato\tcat\ncadela\tdog\n")
    assert len(lexicon) == 3
    assert lexicon.words() == ["cão", "gato", "cadela"]
    assert list(lexicon.renderings("Dog")) == list(lexicon.synonyms("CADELA")) == ["cão", "cadela"]
    assert list(lexicon.synonyms("gato")) == list(lexicon.renderings("cat")) == ["gato"]
    # Neither side answers for the other.
    assert [list(found) for found in (lexicon.synonyms("dog"), lexicon.renderings("cão"))] == [[], []]
    assert [list(found) for found in (lexicon.synonyms("cachorro"), lexicon.renderings("."))] == [[], []]


def test_lines_added_by_hand_count_and_the_last_one_wins(corpus: Path) -> None:
    lexicon = opened(corpus, "cão\tdog\r\ncasaco\tmarried\r\nCachorro\tDog\r\ncasaco\tcoat\r\ncão\tdog\r\n")
    assert sorted(lexicon.renderings("dog")) == ["cachorro", "cão"]
    assert list(lexicon.renderings("coat")) == ["casaco"]
    assert list(lexicon.renderings("married")) == []
    assert len(lexicon) == 3


@pytest.mark.parametrize(
    ("content", "number", "line"),
    [
        ("cão\tdog\ngato cat\n", 2, "gato cat"),
        ("cão\tdog\n\ngato\tcat\n", 2, ""),
        ("\tdog\n", 1, "\\tdog"),
        ("cão\t\n", 1, "cão\\t"),
        ("cão\tdog\ngato\tcat\tkitten", 2, "gato\\tcat\\tkitten"),
        ("cão\tdog\nga\0o\tcat\n", 2, "ga\\x00o\\tcat"),
    ],
)
def test_a_line_that_is_no_entry_is_named_with_its_file(
    corpus: Path, content: str, number: int, line: str
) -> None:
    with pytest.raises(UserError) as caught:
        opened(corpus, content)
    path = corpus / "lexicon" / "pt.tsv"
    assert str(caught.value) == f"{path}, line {number}: expected WORD, TAB, TRANSLATION, got '{line}'"


def test_a_lexicon_that_is_not_utf_8_is_named(corpus: Path) -> None:
    with pytest.raises(UserError, match=r"pt.tsv is not UTF-8 \(invalid continuation byte at byte 1\)"):
        opened(corpus, b"c\xe3o\tdog\n")


def test_a_missing_lexicon_names_the_command_that_makes_it(corpus: Path) -> None:
    with pytest.raises(UserError) as caught:
        Lexicon.open(Corpus.open(corpus), "gl")
    assert str(caught.value) == (
        f"{corpus} has no gl lexicon, which this configuration asks for. "
        f"Make it: dragoman lexicon {corpus} --lang gl --words LIST --engine ENGINE"
    )


words_of = st.text("abcãé", min_size=1, max_size=3)


@settings(deadline=None)
@given(st.lists(st.tuples(words_of, words_of)))
def test_the_two_sides_agree_with_a_plain_search(entries: list[tuple[str, str]]) -> None:
    lexicon, last = Lexicon(entries), dict(entries)
    for target, source in last.items():
        alike = {word for word, meaning in last.items() if meaning == source}
        assert set(lexicon.synonyms(target)) == set(lexicon.renderings(source)) == alike
        assert len(lexicon.synonyms(target)) == len(alike)
    assert set(lexicon.words()) == set(last) and len(lexicon) == len(last)


@settings(deadline=None)
@given(st.text())
def test_any_answer_gives_a_lexicon_that_can_be_read(answer: str) -> None:
    from dragoman.translation.lexicon import LONGEST, _answer

    phrase = _answer(answer)
    if phrase:
        assert not set(phrase) & set("\t\n\r\v\f\x1c\x85\u2028")
        assert len(phrase.split(" ")) <= LONGEST
        assert len(f"w\t{phrase}\n".splitlines()) == 1


def test_words_with_the_same_longer_translation_are_synonyms_and_render_nothing() -> None:
    lexicon = Lexicon([("sobe", "goes up"), ("ascende", "goes up"), ("vai", "goes")])
    assert list(lexicon.synonyms("sobe")) == ["sobe", "ascende"]
    assert [list(lexicon.renderings(word)) for word in ("goes", "up")] == [["vai"], []]


def test_a_pronoun_that_the_engine_adds_does_not_hide_the_verb() -> None:
    # Of 1,000 longer translations "a" opens ten, which is enough; of 1,001 it is below 1 %.
    verbs = [(f"verbo{n}", f"it verb{n}") for n in range(990)]
    articles = [(f"num{n}", f"a thing{n}") for n in range(10)]
    lexicon = Lexicon([*verbs, *articles, ("verbo", "verb0")])
    assert list(lexicon.renderings("verb0")) == ["verbo0", "verbo"]
    assert list(lexicon.synonyms("verbo0")) == ["verbo0"]
    assert list(lexicon.renderings("thing3")) == ["num3"]
    larger = Lexicon([*verbs, *articles, ("vem", "it comes")])
    assert (list(larger.renderings("thing3")), list(larger.renderings("comes"))) == ([], ["vem"])


def missing_pairs() -> set[str]:
    pairs = {"pt-es", "spa-eng"}
    if not shutil.which("apertium"):
        return pairs
    return pairs - set(subprocess.run(["apertium", "-l"], capture_output=True, text=True).stdout.split())


@pytest.mark.skipif(
    bool(missing_pairs()),
    reason="not installed: sudo apt-get install apertium apertium-eng-spa apertium-es-pt",
)
def test_apertium_reads_more_words_than_it_writes(corpus: Path) -> None:
    known = ["cão", "cadela", "gato", "menino", "garoto", "rapaz", "bola", "praia", "homem", "mulher"]
    known += ["jaqueta", "rua", "estrada"]
    unknown = ["cachorro", "moça", "casaco", "relva", "zxqy"]
    words = word_list(corpus.parent, "\n".join([*known, *unknown, "guarda-chuva", "anunciasses"]))
    report = build_lexicon(corpus, lang="pt", words=words, engine="apertium:pt-es|spa-eng")
    assert report.words == 20
    lexicon = Lexicon.open(Corpus.open(corpus), "pt")
    assert list(lexicon.renderings("dog")) == ["cão", "cadela"]
    assert list(lexicon.renderings("boy")) == ["menino", "garoto", "rapaz"]
    assert list(lexicon.renderings("man")) == ["homem"]
    # What it does not know comes back as it went in.
    assert [word for word in unknown if list(lexicon.synonyms(word))] == []
