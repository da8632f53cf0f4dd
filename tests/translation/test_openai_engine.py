"""The engine for OpenAI-compatible endpoints, against a server on this computer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from chat_server import Answer, capitals, chat_server

from dragoman.errors import UserError
from dragoman.translation.answers import read_answer
from dragoman.translation.engine import Engine, EngineError, EngineUnavailableError, Rejected, open_engine
from dragoman.translation.texts import Isolator


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def at(url: str, **options: Any) -> Engine:
    query = "&".join(f"{name}={value}" for name, value in ({"pause": 0.01} | options).items())
    return open_engine(f"openai:tiny?base_url={url}&{query}", "en", "pt")


def in_turn(*answers: Answer | Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    left = list(answers)

    def answer(request: dict[str, Any]) -> Answer:
        current = left.pop(0) if len(left) > 1 else left[0]
        return current(request) if callable(current) else current

    return answer


def test_lines_go_numbered_with_key_and_languages_and_come_back_in_order() -> None:
    with chat_server(capitals) as (url, requests):
        assert at(url).translate(["a dog", "2. a cat"], 10) == ["A DOG", "2. A CAT"]
    (request,) = requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == "Bearer secret"
    assert request["body"]["model"] == "tiny"
    assert request["body"]["temperature"] == 0.0
    assert "from English to Portuguese (pt)" in request["body"]["messages"][0]["content"]
    assert request["body"]["messages"][1] == {"role": "user", "content": "1. a dog\n2. 2. a cat"}


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(capitals) as (url, _):
        monkeypatch.setenv("OPENAI_BASE_URL", url + "/")
        assert open_engine("openai:tiny", "en", "pt").translate(["a dog"], 10) == ["A DOG"]


def test_neither_key_nor_address_stands_in_the_name() -> None:
    assert at("http://127.0.0.1:9/v1").name == "openai:tiny"


@pytest.mark.parametrize(
    "answer",
    [
        "1. UM",
        "1. UM\n2. DOIS\n3. TRÊS",
        "1. UM\n1. DOIS",
        "2. DOIS\n1. UM",
        "UM\nDOIS",
        "",
        "1. UM\n\nAnd: 2. B",
    ],
)
def test_an_answer_without_exactly_one_line_a_line_is_an_error(answer: str) -> None:
    with pytest.raises(EngineError, match="2 lines went in and the answer is numbered"):
        read_answer(answer, ["a", "b"])


def test_the_usual_ways_of_numbering_are_read() -> None:
    assert read_answer("1. um cão\n\n 2) 3.5 gatos \n3: três", ["a", "b", "c"]) == [
        "um cão",
        "3.5 gatos",
        "três",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        "```\n1. um\n2. dois\n```",
        "```text\n1. um\n2. dois\n```\n",
        "Sure:\n```\n1. um\n2. dois\n```\nAnything else?",
        "<think>\n1. one = um\n</think>\n\n1. um\n2. dois",
        "1. one is um.\n</think>\n1. um\n2. dois",
        "Here are the translations:\n1. um\n2. dois",
        "Here are the translations\n\n1. um\n2. dois",
        "1. um\n2. dois\n\nLet me know!",
        "1、um\n2、dois",
        "（1）um\n（2）dois",
        "(1) um\n(2) dois",
        "[1] um\n[2] dois",
        "１．um\n２．dois",
        "1：um\n2：dois",
        "١. um\n٢. dois",
        "**1.** um\n**2.** dois",
        "**1. um**\n**2. dois**",
        "- 1. um\n- 2. dois",
        "1 - um\n2 - dois",
        "1.\u00a0um\r\n2.\u00a0dois",
        "\ufeff1. um\n\u200f2. dois",
        "1. a -> um\n2. b → dois",
        '1. "um"\n2. "dois"',
        '["um", "dois"]',
        '```json\n{"translations": ["um", "dois"]}\n```',
        '{"1": "um", "2": "dois"}',
        "# Português\n1. um\n2. dois",
        "**Translations**\n1. um\n2. dois",
        "---\n1. um\n2. dois\n---",
        "<answer>1. um\n2. dois</answer>",
        "[THINK]1. one = um[/THINK]\n1. um\n2. dois",
        "| # | Português |\n|---|---|\n| 1 | um |\n| 2 | dois |",
        "| # | en | pt |\n|:-:|---|---|\n| 1 | a | um |\n| 2 | b | dois |",
        "Line 1: um\nLine 2: dois",
        "#1 um\n#2 dois",
        "1- um\n2- dois",
        "1.) um\n2.) dois",
        "1.- um\n2.- dois",
        "1\\. um\n2\\. dois",
        "1。um\n2。dois",
        "***1.*** um\n***2.*** dois",
        "1. um\n2. dois<|im_end|>",
        "1. um\n2. dois</s>",
        "1. 'um'\n2. 'dois'",
        "1. A -> um\n2. B -> dois",
        "1. um [a]\n2. dois [b]",
        "1\tum\n2\tdois",
        "1\ufe0f\u20e3 um\n2\ufe0f\u20e3 dois",
        "> 1. um\n> 2. dois",
        "1. um\\n2. dois",
        "1. **um**\n2. **dois**",
        "1. `um`\n2. `dois`",
        "1. um (a)\n2. dois (b)",
        '1. "a" → "um"\n2. "b" → "dois"',
        "1. **a**: um\n2. **b**: dois",
        '["1. um", "2. dois"]',
        '{"a": "um", "b": "dois"}',
        '{"translations": {"1": "um", "2": "dois"}}',
        '[{"id": 1, "translation": "um"}, {"id": 2, "translation": "dois"}]',
        '[{"source": "a", "target": "um"}, {"source": "b", "target": "dois"}]',
        'Here they are:\n["um", "dois"]\n\nAnything else?',
    ],
)
def test_what_models_say_around_their_lines_is_passed_over(answer: str) -> None:
    assert read_answer(answer, ["a", "b"]) == ["um", "dois"]


@pytest.mark.parametrize(
    "answer",
    [
        "1. um\nou uma\n2. dois",
        "1. um\n2. dois\nou duas",
        "um\n1. um\n2. dois",
        "1. um\n2. dois\n1. uma\n2. duas",
        "1 cão\n2 cães",
        "1.5 m\n2.5 m",
        "**1. um\n**2. dois",
        '["um"]',
        '["um", 2]',
        '{"2": "dois", "1": "um"}',
        "```\n1. um\n2. dois\n```\nor\n```\n1. uma\n2. duas\n```",
        "```\n1. um\n2. dois",
        "1.º um\n2.º dois",
        "a) um\nb) dois",
        '{"1": "um", "1": "uma", "2": "dois"}',
        '[{"id": 1, "pt": "um"}, {"id": 3, "pt": "dois"}]',
        '[{"pt": "um"}, {"gl": "dous"}]',
    ],
)
def test_an_answer_with_a_doubt_is_an_error(answer: str) -> None:
    with pytest.raises(EngineError, match="2 lines went in"):
        read_answer(answer, ["a", "b"])


def test_thoughts_without_an_end_are_no_answer() -> None:
    with pytest.raises(EngineError, match="ends within its thoughts"):
        read_answer("<think>\n1. um\n2. dois", ["a", "b"])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("um cão", "um cão"),
        ("1. um cão", "um cão"),
        ("1.5 m de neve", "1.5 m de neve"),
        ("**1.** um cão", "um cão"),
        ('"um cão"', "um cão"),
        ("Here is the translation:\n\num cão", "um cão"),
        ("```\num cão\n```", "um cão"),
        ("**um cão**", "um cão"),
        ("- um cão", "um cão"),
        ("um cão\\n", "um cão"),
        ('{"translation": "um cão"}', "um cão"),
        ("| 1 | um cão |", "um cão"),
        ("a dog -> um cão", "um cão"),
        ("A dog = um cão", "um cão"),
        ("um cão [a dog]", "um cão"),
        ("a dog (um cão)", "um cão"),
        ("um cão<|eot_id|>", "um cão"),
        ("```um cão```", "um cão"),
        ("'um cão'", "um cão"),
    ],
)
def test_a_line_alone_needs_no_number(answer: str, expected: str) -> None:
    assert read_answer(answer, ["a dog"]) == [expected]


@pytest.mark.parametrize(
    "answer",
    [
        *("2. um cão", "um cão\numa cadela", "um cão\n\n1. uma nota", "", "[]", '{"1": 2}'),
        *("Translation: um cão", "Sure! Here you go: um cão", "a) um cão", "1 um cão", "1º um cão"),
        *("<pt>um cão</pt>", "# um cão", "① um cão", '"1. um cão"', '"1": "um cão"'),
    ],
)
def test_a_line_alone_that_cannot_be_told_is_an_error(answer: str) -> None:
    with pytest.raises(EngineError, match="1 lines went in"):
        read_answer(answer, ["a dog"])


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [
        ("I'm sorry, but I can't help with that.", "a refusal"),
        ("1. I cannot translate this line.", "a refusal"),
        ("I apologize, but this is not something to translate.", "a refusal"),
        ("Lo siento, no puedo ayudar con eso.", "a refusal"),
        ("很抱歉，我无法翻译。", "a refusal"),
        ("عذرًا، لا أستطيع المساعدة.", "a refusal"),
        ("1. …", "empty"),
        ("N/A", "empty"),
        ("1. null", "empty"),
        ("None.", "empty"),
        ("1. <unk>", "what stands for something"),
        ("1. [untranslatable]", "what stands for something"),
        ("Please provide the text to translate.", "a refusal"),
        ("Could you please provide the text?", "a refusal"),
        ("I don't have enough context.", "a refusal"),
        ("It seems the line is missing.", "a refusal"),
        ("すみません、翻訳できません。", "a refusal"),
        ("Sure! um cão", "more than a translation"),
        ("The translation is um cão", "more than a translation"),
        ("um cão / um cachorro", "more than a translation"),
        ("1. **um cão** - masculine", "more than a translation"),
        ('1: "um cão",', "more than a translation"),
    ],
)
def test_what_is_no_translation_is_refused(answer: str, doubt: str) -> None:
    with pytest.raises(EngineError, match=f"the answer to line 1 is {doubt}"):
        read_answer(answer, ["a dog"])


def test_one_label_before_every_line_is_a_doubt() -> None:
    with pytest.raises(EngineError, match="calls every line 'pt'"):
        read_answer("1. pt: um\n2. pt: dois", ["a", "b"])


def test_signs_that_the_line_has_itself_are_no_doubt() -> None:
    assert read_answer("um sinal: PARE", ["a sign: STOP"]) == ["um sinal: PARE"]
    assert read_answer("🐶 cão", ["🐶 dog"]) == ["🐶 cão"]
    assert read_answer("1. Desculpe, mas…", ["Desculpe, mas…"]) == ["Desculpe, mas…"]
    # Words that only begin so: a Virgin, a city, a lament.
    for title in ("عذراء وطفل", "آسفي", "Lamento sobre Cristo", "Désolation"):
        assert read_answer(f"1. {title}", ["a painting"]) == [title]
    assert read_answer("Translation bureau", ["Translation office"]) == ["Translation bureau"]
    assert read_answer("1. cães / gatos", ["dogs / cats"]) == ["cães / gatos"]
    assert read_answer("1. sinal: PARE\n2. sinal: SIGA", ["sign: STOP", "sign: GO"])[1] == "sinal: SIGA"
    assert read_answer("1. [uma foto]", ["[a photo]"]) == ["[uma foto]"]
    assert read_answer("1. 1. Platz\n2. 2. Platz", ["1. place", "2. place"]) == ["1. Platz", "2. Platz"]
    with pytest.raises(EngineError, match="without its number"):
        read_answer("1. Platz", ["1. place"])


@pytest.mark.parametrize(
    ("reason", "message"), [("length", "cut off"), ("max_tokens", "cut off"), ("content_filter", "withheld")]
)
def test_an_answer_that_was_cut_off_is_no_answer(reason: str, message: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": "1. um c"}, "finish_reason": reason}]})
    with chat_server(in_turn((201, body))) as (url, _), pytest.raises(EngineError, match=message):
        at(url).translate(["a dog"], 10)


def test_a_message_in_parts_is_put_together() -> None:
    parts = [{"type": "text", "text": "1. um "}, {"type": "text", "text": "cão"}]
    body = json.dumps({"choices": [{"message": {"content": parts}}]})
    with chat_server(in_turn((201, body))) as (url, _):
        assert at(url).translate(["a dog"], 10) == ["um cão"]


def test_a_line_that_makes_the_model_merge_lines_is_found() -> None:
    def merging(request: dict[str, Any]) -> Answer:
        text = request["messages"][-1]["content"].upper()
        return 200, text.replace("\n", " ") + " END" if "BAD" in text and "\n" in text else text

    with chat_server(merging) as (url, _):
        lines = ["a", "b", "bad", "c"]
        assert Isolator(at(url), 10, lambda: None).translate(lines) == ["A", "B", "BAD", "C"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_asked_again(status: int) -> None:
    with chat_server(in_turn((status, "busy"), (status, "busy"), capitals)) as (url, requests):
        assert at(url).translate(["a dog"], 10) == ["A DOG"]
    assert len(requests) == 3


def test_asking_again_has_an_end() -> None:
    with (
        chat_server(in_turn((503, "busy"))) as (url, requests),
        pytest.raises(
            EngineUnavailableError, match=r"failed 3 times, at last with: HTTP status 503 \(busy\)"
        ),
    ):
        at(url, tries=3).translate(["a dog"], 10)
    assert len(requests) == 3


def test_a_server_out_of_reach_stops_the_job() -> None:
    with pytest.raises(EngineUnavailableError, match=r"failed 2 times, at last with: .*refused"):
        at("http://127.0.0.1:9/v1", tries=2).translate(["a dog"], 10)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_not_repeated_and_names_what_to_check(status: int) -> None:
    with (
        chat_server(in_turn((status, "no"))) as (url, requests),
        pytest.raises(EngineUnavailableError, match=f"HTTP status {status} .*Check OPENAI_BASE_URL"),
    ):
        at(url).translate(["a dog"], 10)
    assert len(requests) == 1


def test_a_line_that_the_endpoint_refuses_is_rejected_alone() -> None:
    def picky(request: dict[str, Any]) -> Answer:
        return (400, "filtered") if "bad" in request["messages"][-1]["content"] else capitals(request)

    with chat_server(picky) as (url, _):
        outcomes = Isolator(at(url), 10, lambda: None).translate(["a", "bad", "c"])
    assert outcomes == ["A", Rejected("HTTP status 400 (filtered)"), "C"]


@pytest.mark.parametrize("body", ["", "[]", '{"choices": []}'])
def test_an_answer_that_is_no_completion_is_an_error(body: str) -> None:
    with (
        chat_server(in_turn((201, body))) as (url, _),
        pytest.raises(EngineError, match="no chat completion"),
    ):
        at(url).translate(["a dog"], 10)


def test_a_server_that_does_not_answer_is_an_error_in_time() -> None:
    def slow(request: dict[str, Any]) -> Answer:
        time.sleep(1)
        return capitals(request)

    with chat_server(slow) as (url, _), pytest.raises(EngineError, match=r"did not answer within 0\.2 s"):
        at(url).translate(["a dog"], 0.2)


def test_the_public_endpoint_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="export OPENAI_API_KEY="):
        open_engine("openai:gpt-4o-mini", "en", "pt")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match="OPENAI_BASE_URL is 'file:///etc', no http"):
        at("file:///etc")
