"""transports/messages.py: bytes to messages and back, without losing anything."""

import io
import json

import pytest
from hypothesis import given

from transports.fabric.messages import (DEEPEST, INVALID_REQUEST, NOTIFICATION, PARSE_ERROR,
                                        REQUEST, RESPONSE, InvalidMessage, decode, each_line,
                                        encode, id_of_answer, kind_of)

from json_values import JSON


@given(JSON)
def test_what_is_decoded_and_encoded_again_means_the_same(value):
    assert json.loads(encode(decode(json.dumps(value).encode()))) == value


@pytest.mark.parametrize("text", [
    '9007199254740993', '"\\u2028 \\ud83d\\ude00"', '"\\ud800"', '{"a": 1e300}', '-0.0',
])
def test_numbers_beyond_doubles_and_odd_characters_arrive_as_they_were_sent(text):
    assert json.loads(encode(decode(text.encode()))) == json.loads(text)


@pytest.mark.parametrize("value", ["\n", "\r", "\u2028", "\u0085", "\x0b"])
def test_a_message_is_one_line_for_every_reader(value):
    assert len(encode({"text": value}).decode().splitlines()) == 1


@pytest.mark.parametrize("data", [
    b"", b"rubbish", b'{"a":', b"\xff", b"NaN", b"[Infinity]", b"1e999", b"9" * 5000,
    b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), b"[" * 100_000,
    b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1),
])
def test_what_is_no_json_is_refused(data):
    with pytest.raises(InvalidMessage) as problem:
        decode(data)
    assert problem.value.code == PARSE_ERROR


def test_a_number_with_too_many_digits_is_refused_without_advice_to_programmers():
    with pytest.raises(InvalidMessage, match="^not JSON: a number has too many digits$"):
        decode(b'{"id":%b}' % (b"9" * 6000))


def test_a_wide_message_is_not_a_deep_one():
    wide = json.dumps([{} for _ in range(10 * DEEPEST)]).encode()
    assert len(decode(wide)) == 10 * DEEPEST


@pytest.mark.parametrize("message, kind", [
    ({"id": 1, "method": "ping"}, REQUEST),
    ({"id": "", "method": "ping"}, REQUEST),
    ({"method": "x"}, NOTIFICATION),
    ({"id": 0, "result": {}}, RESPONSE),
    ({"id": "a", "error": {}}, RESPONSE),
])
def test_the_kind_of_a_message_is_told_by_its_keys(message, kind):
    assert kind_of({"jsonrpc": "2.0", **message}) == kind


@pytest.mark.parametrize("message", [
    1, None, "x", [], {}, {"method": "ping", "id": 1}, {"jsonrpc": "1.0", "method": "x"},
    *({"jsonrpc": "2.0", **rest} for rest in (
        {}, {"id": 1}, {"method": 1}, {"id": None, "method": "x"}, {"id": True, "method": "x"},
        {"id": {}, "method": "x"}, {"result": {}}, {"id": None, "error": {}})),
])
def test_what_is_no_json_rpc_is_refused(message):
    with pytest.raises(InvalidMessage) as problem:
        kind_of(message)
    assert problem.value.code == INVALID_REQUEST


def test_a_byte_order_mark_before_a_message_is_passed_over():
    assert decode(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("size, fits", [(899, True), (900, True), (901, False), (5000, False)])
def test_a_line_may_have_as_many_bytes_as_are_allowed_and_no_more(size, fits, end):
    line = b"x" * (size - 1) + b"y"
    found = (line, None) if fits else (b"x" * 400, line[-400:])
    rest = [(b"next", None)] if end else []
    lines = io.BytesIO(line + end + b"next\n" * bool(end))
    assert list(each_line(lines.readline, 900)) == [found, *rest]


def test_a_line_that_is_too_long_is_seen_though_it_begins_with_blanks():
    long = b" " * 600 + b'{"jsonrpc":"2.0","id":7,"result":"' + b"x" * 900 + b'"}'
    (start, end), = each_line(io.BytesIO(long + b"\n").readline, 900)
    assert id_of_answer(start + end) == 7
    assert list(each_line(io.BytesIO(b" " * 901 + b"\n \n").readline, 900)) == [(b"", b" " * 400)]
