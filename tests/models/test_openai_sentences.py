"""Sentence encoders behind a server on this computer: requests, refusals, and a model that reads by one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Answer, Requests, embeddings, post_server, vector
from training_world import write_world

from command_line import dragoman
from dragoman.corpus import Corpus
from dragoman.endpoints import Endpoint
from dragoman.errors import UnavailableError, UserError
from dragoman.features.kept_texts import KeptTexts
from dragoman.features.texts import extract_texts
from dragoman.models.sentences import load_text_side, openai
from dragoman.recipes import load_recipe
from dragoman.retrievers.light import LightRetriever
from dragoman.retrievers.trained import Retriever
from dragoman.training import train

TINY = Path("openai:some/tiny")


@pytest.fixture(autouse=True)
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return monkeypatch


@pytest.fixture
def server(patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Requests]]:
    with post_server(embeddings) as (url, requests):
        patch.setenv("OPENAI_BASE_URL", url + "/")
        yield url, requests


@contextmanager
def answering(patch: pytest.MonkeyPatch, answer: Callable[[dict[str, Any]], Answer]) -> Iterator[Requests]:
    with post_server(answer) as (url, requests):
        patch.setenv("OPENAI_BASE_URL", url)
        yield requests


def test_texts_go_with_key_and_model_and_vectors_come_back_in_order(server: tuple[str, Requests]) -> None:
    texts = [f"text {number}" for number in range(100)] + [""]
    found = load_text_side(TINY).encode(texts)
    np.testing.assert_allclose(found, [vector(text) for text in texts], rtol=1e-6)
    first, second = server[1]
    assert first["path"] == "/v1/embeddings"
    assert first["headers"]["Authorization"] == "Bearer secret"
    assert first["body"] == {"model": "some/tiny", "input": texts[:64]}
    # An empty text would be refused by most servers.
    assert second["body"]["input"] == [*texts[64:100], " "]


def test_a_server_that_takes_fewer_texts_is_asked_for_fewer(patch: pytest.MonkeyPatch) -> None:
    def small(request: dict[str, Any]) -> Answer:
        return (413, "too many") if len(request["input"]) > 10 else embeddings(request)

    with answering(patch, small) as requests:
        texts = [f"text {number}" for number in range(40)]
        found = load_text_side(TINY).encode(texts)
        np.testing.assert_allclose(found, [vector(text) for text in texts], rtol=1e-6)
        # 40, 20, and ten at a time from then on.
        assert [len(one["body"]["input"]) for one in requests] == [40, 20, 10, 10, 10, 10]


def test_a_text_that_the_server_refuses_is_named(patch: pytest.MonkeyPatch) -> None:
    def picky(request: dict[str, Any]) -> Answer:
        return (400, "no") if "bad one" in request["input"] else embeddings(request)

    with answering(patch, picky):
        side = load_text_side(TINY)
        said = r"no vector by 'some/tiny' for the text 'bad one': HTTP status 400 \(no\)\. Correct it"
        with pytest.raises(UserError, match=said):
            side.encode(["a", "bad one", "c"])
        assert len(side.encode(["a", "c"])) == 2


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 1, "embedding": [1.0]}],
        [{"index": 0}],
        [{"index": 0, "embedding": [float("nan")]}],
        [{"index": 0, "embedding": "AAAA"}],
        [{"index": 0, "embedding": []}],
        None,
    ],
)
def test_an_answer_that_holds_no_vector_is_an_error(patch: pytest.MonkeyPatch, data: Any) -> None:
    told = pytest.raises(UserError, match="for the text 'a dog': the answer")
    with answering(patch, lambda request: (200, json.dumps({"data": data}))), told:
        load_text_side(TINY).encode(["a dog"])


def test_an_overloaded_server_is_asked_again_and_a_dead_one_ends_in_one_error(
    patch: pytest.MonkeyPatch,
) -> None:
    answers = iter([(429, "busy"), (503, "busy")])
    with answering(patch, lambda request: next(answers, None) or embeddings(request)) as requests:
        assert len(load_text_side(TINY).encode(["a dog"])) == 1
        assert len(requests) == 3
    patch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9/v1/embeddings failed 5 times, .*refused"):
        load_text_side(TINY).encode(["a dog"])


def test_the_public_server_needs_a_key_and_no_key_is_shown(patch: pytest.MonkeyPatch) -> None:
    assert "secret" not in repr(Endpoint.open("It", "http://127.0.0.1/v1"))
    patch.delenv("OPENAI_API_KEY")
    patch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(UserError, match="The encoder 'openai:some/tiny' needs a key"):
        load_text_side(TINY)


def test_a_set_knows_its_server_and_its_model(
    tmp_path: Path, server: tuple[str, Requests], patch: pytest.MonkeyPatch
) -> None:
    folder = write_world(tmp_path / "corpus")
    assert extract_texts(folder, encoder=str(TINY)).folder.name == "tiny"
    assert extract_texts(folder, encoder="openai:tiny", name="other").folder.name == "other"
    kept = KeptTexts(Corpus.open(folder).features("tiny"))
    assert (kept.made_by["path"], kept.made_by["address"]) == (str(TINY), server[0])
    assert openai.fingerprint(TINY) != openai.fingerprint(Path("openai:tiny"))
    assert extract_texts(folder, encoder=str(TINY)).extracted == 0
    with pytest.raises(UserError, match="holds another feature set; it differs in encoder"):
        extract_texts(folder, encoder="openai:else", name="tiny")
    patch.setenv("OPENAI_BASE_URL", server[0].replace("127.0.0.1", "localhost"))
    with pytest.raises(UserError, match="holds another feature set; it differs in encoder"):
        extract_texts(folder, encoder=str(TINY))


@pytest.fixture
def run(tmp_path: Path, server: tuple[str, Requests]) -> Path:
    folder = write_world(tmp_path / "corpus")
    extract_texts(folder, encoder="openai:tiny")
    before = len(server[1])
    config = load_recipe("linear")("en", (), "toy").with_settings(
        {"text": "frozen:tiny", "steps": "20", "batch_size": "20", "dual.joint": "16"}
    )
    train(folder, config, tmp_path / "run")
    # Training reads kept vectors alone.
    assert len(server[1]) == before
    return tmp_path / "run"


def test_a_run_reads_by_the_server_with_and_without_pytorch(run: Path) -> None:
    texts = ["dog red", "qwrtp", "cat runs hill"]
    found = Retriever.load(run).encode_text(texts)
    np.testing.assert_allclose(LightRetriever.load(run).encode_text(texts), found, atol=1e-5)
    assert np.abs(found @ found.T - np.eye(3)).max() < 0.999


def test_texts_go_to_no_server_but_the_one_that_the_environment_names(
    run: Path, server: tuple[str, Requests], patch: pytest.MonkeyPatch
) -> None:
    before = len(server[1])
    patch.delenv("OPENAI_BASE_URL")
    said = rf"It stood at {server[0]}, and OPENAI_BASE_URL names https://api\.openai\.com/v1\. Texts go only"
    with pytest.raises(UserError, match=said):
        Retriever.load(run).encode_text(["a dog"])
    assert len(server[1]) == before


def test_another_model_under_the_name_is_told(
    run: Path, server: tuple[str, Requests], patch: pytest.MonkeyPatch
) -> None:
    patch.setattr("chat_server.vector", lambda text: np.roll(vector(text), 1).tolist())
    with pytest.raises(UserError, match="does not reproduce its golden vectors"):
        Retriever.load(run)


def test_an_index_is_searched_through_the_server(run: Path, server: tuple[str, Requests]) -> None:
    folder = run.parent
    done = dragoman("index", "run", "corpus", "--out", "index", at=folder)
    assert done.returncode == 0, done.stderr
    done = dragoman("search", "index", "dog red", "--json", "-k", 3, at=folder)
    assert done.returncode == 0, done.stderr
    assert server[1][-1]["body"]["input"] == ["dog red"]
    model, corpus = Retriever.load(run), Corpus.open(folder / "corpus")
    features = corpus.features("toy")
    scores = model.encode_text(["dog red"]) @ model.encode_features(features.vectors).T
    expected = [features.ids[row] for row in np.argsort(-scores[0])[:3]]
    assert [hit["item_id"] for hit in json.loads(done.stdout)["hits"]] == expected
