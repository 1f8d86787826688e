"""What a job is, and how a call of it is written: mistakes are caught where they are made, at the producer."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import uuid
from abc import ABC
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random, SystemRandom

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minique import (
    Backoff,
    BadName,
    Job,
    JobClass,
    NotSerialisable,
    Registry,
    TooLarge,
    UsageError,
    WrongArguments,
    connect,
    job,
    set_default_client,
)
from minique.call import PAYLOAD_LIMIT_BYTES, Call, Unreadable, read_call
from minique.ids import is_id, made_at, make_id
from minique.job_class import job_class_of, with_options
from minique.perform import RESULT_LIMIT_BYTES, TRACEBACK_LIMIT_CHARACTERS, Context, Raised, Returned, run

ROOT = Path(__file__).parent.parent
ID = "0" * 20
CONTEXT = Context(ID, "default", 1)


def written(kind, /, *args, **kwargs):
    """The call as a worker reads it."""
    return read_call(job_class_of(kind).body(args, kwargs))


def ran(kind, /, *args, **kwargs):
    """How the call ends when it has been written, read and run."""
    return run(job_class_of(kind), CONTEXT, written(kind, *args, **kwargs))


def returned(value):
    return Returned(json.dumps(value, separators=(",", ":")))


@job(registry=Registry())
def at_the_top() -> None: ...


class TestDefining:
    def test_a_decorated_function_still_just_calls(self):
        @job(registry=Registry())
        def add(a: int, b: int = 1) -> int:
            """Adds."""
            return a + b

        assert add(1) == 2
        assert add(1, b=5) == 6

    def test_it_keeps_its_name_its_words_and_its_types(self):
        def add(a: int, b: int = 1) -> int:
            """Adds."""
            return a + b

        decorated = job(registry=Registry())(add)
        assert (decorated.__name__, decorated.__doc__, decorated.__module__) == ("add", "Adds.", __name__)
        assert inspect.signature(decorated) == inspect.signature(add)
        assert (decorated.__qualname__, decorated.__wrapped__) == (add.__qualname__, add)

    def test_it_is_pickled_by_its_name_as_functions_are(self):
        """`pool.submit(send, 7)` on a pool of processes."""
        assert pickle.loads(pickle.dumps(at_the_top)) is at_the_top
        assert copy.deepcopy(at_the_top) is at_the_top

    def test_type_checkers_see_through_the_decorator(self, tmp_path):
        program = tmp_path / "program.py"
        program.write_text(
            "from minique import connect, job\n"
            "@job(queue='mail')\n"
            "def send(user: int, *, kind: str = 'x') -> float: return 1.0\n"
            "reveal_type(send(1))\n"
            "reveal_type(connect().enqueue(send, 1, kind='y').result())\n"
            "reveal_type(send.enqueue(1))\n"
            "send('wrong')\n"
            "send.enqueue_in(5, 1, kind=2)\n"
            "@job\n"
            "def bare() -> None: ...\n"
            "@job()\n"
            "async def fetch(user: int) -> bytes: return b''\n"
            "reveal_type(connect().enqueue(fetch, 1).result())\n"
            "reveal_type(fetch.enqueue_in(5, 1).result())\n"
            "async def use() -> None: reveal_type(await fetch(1))\n"
        )
        command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", str(program)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT).stdout
        assert 'Revealed type is "float"\n' in told.replace("builtins.", "")
        assert told.replace("builtins.", "").count('Revealed type is "float"') == 2
        assert "Handle[float]" in told.replace("builtins.", "")
        assert 'program.py:7: error: Argument 1 to "__call__"' in told
        assert 'program.py:8: error: Argument "kind" to "enqueue_in"' in told
        assert "program.py:9: error" in told
        assert told.replace("builtins.", "").count('Revealed type is "bytes"') == 3, "what is awaited, not a coroutine"

    def test_options_stand_in_the_class_or_in_the_decorator(self):
        class Archive(Job):
            registry = Registry()
            queue, retries, timeout, result_lifetime = "archives", 5, 30, 60
            backoff = Backoff(1)

            def perform(self) -> None: ...

        options = {"queue": "archives", "retries": 5, "timeout": 30, "result_lifetime": 60, "backoff": Backoff(1)}

        @job(**options, registry=Registry())
        def archive() -> None: ...

        for kind in (Archive, archive):
            found = job_class_of(kind)
            assert {name: getattr(found, name) for name in options} == options

    def test_defaults_are_those_that_the_docs_state(self):
        @job(registry=Registry())
        def plain() -> None: ...

        found = plain.job_class
        assert (found.queue, found.retries, found.timeout, found.result_lifetime) == ("default", 3, None, 600)

    def test_a_decorator_without_parentheses_is_answered_with_the_remedy(self):
        with pytest.raises(UsageError, match="write @job\\(\\) with parentheses"):

            @job
            def send() -> None: ...

    def test_a_lambda_has_no_name_that_a_worker_could_find_it_by(self):
        with pytest.raises(UsageError, match="define it with def"):
            job(registry=Registry())(lambda: None)

    def test_a_perform_without_self_is_noticed(self):
        with pytest.raises(UsageError, match="takes no self"):

            class Wrong(Job):
                registry = Registry()

                def perform() -> None: ...  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"retries": -1}, "retries is -1; pass a whole number, 0 or more"),
            ({"retries": 1.5}, "retries is 1.5"),
            ({"retries": True}, "retries is True"),
            ({"timeout": 0}, "timeout is 0; pass seconds above 0, or None"),
            ({"timeout": float("nan")}, "timeout is nan"),
            ({"timeout": "5"}, "timeout is '5'"),
            ({"timeout": 10**400}, "timeout is 1000"),
            ({"result_lifetime": 9}, "result_lifetime is 9; pass 10 seconds or more"),
            ({"backoff": 5}, "backoff is 5; pass a minique.Backoff"),
            ({"name": "two words"}, "a name is 1 to 200 visible characters without spaces"),
            ({"name": "x" * 201}, "a name is 1 to 200"),
            ({"name": "bell\x07"}, "a name is 1 to 200"),
        ],
    )
    def test_options_that_make_no_sense_are_refused_where_they_stand(self, options, said):
        with pytest.raises(UsageError, match=re.escape(said)):

            @job(**options, registry=Registry())
            def send() -> None: ...

    def test_a_queue_that_cannot_be_a_name_is_refused(self):
        with pytest.raises(BadName, match="'my queue' cannot be the name of a queue"):

            @job(queue="my queue", registry=Registry())
            def send() -> None: ...

    def test_what_is_no_job_class_cannot_be_enqueued(self):
        class Base(Job): ...

        class Abstract(Job, ABC): ...

        for wrong in (print, len, "send", 5, None, Job, Base, Abstract, lambda: None):
            with pytest.raises(UsageError, match="is not a job class: pass a subclass of Job that has perform"):
                job_class_of(wrong)


class TestUsing:
    def test_a_single_job_may_have_other_options_and_its_worker_is_told(self):
        @job(registry=Registry(), timeout=5, backoff=Backoff(1))
        def send(n: int) -> None: ...

        other = send.using(retries=0, timeout=None)
        call = read_call(other.body((1,), {}))
        assert call.options == {"retries": 0, "timeout": None}
        told = with_options(send.job_class, call)
        assert (told.retries, told.timeout, told.backoff) == (0, None, Backoff(1))
        assert send.job_class.retries == 3  # the class is as it was

    def test_a_queue_is_chosen_by_the_producer_alone(self):
        @job(registry=Registry())
        def send() -> None: ...

        other = send.using(queue="low")
        assert other.queue == "low"
        assert read_call(other.body((), {})).options == {}

    def test_changes_add_up(self):
        @job(registry=Registry())
        def send() -> None: ...

        other = send.using(retries=1).using(timeout=5, queue="low").using(retries=2)
        assert (other.queue, other.retries, other.timeout) == ("low", 2, 5)
        assert read_call(other.body((), {})).options == {"retries": 2, "timeout": 5}

    def test_a_class_has_it_too(self):
        class Archive(Job):
            registry = Registry()

            def perform(self) -> None: ...

        assert isinstance(Archive.using(retries=1), JobClass)

    @pytest.mark.parametrize("wrong", [{"name": "x"}, {"backoff": Backoff()}, {"retrys": 1}])
    def test_an_option_that_cannot_be_changed_is_refused_and_the_others_named(self, wrong):
        @job(registry=Registry())
        def send() -> None: ...

        with pytest.raises(UsageError, match="there are queue, retries, timeout, result_lifetime"):
            send.using(**wrong)

    def test_nonsense_is_refused_here_too(self):
        @job(registry=Registry())
        def send() -> None: ...

        with pytest.raises(UsageError, match="retries is -1"):
            send.using(retries=-1)


# Signatures of every shape, each with calls that fit and calls that do not, and what the second are told.


def plain(a, b=2):
    return [a, b]


def keyword_only(a, *, b, c=3):
    return [a, b, c]


def positional_only(a, b=2, /, c=3):
    return [a, b, c]


def any_number(*numbers, scale=1):
    return [[number * scale for number in numbers]]


def any_names(a, **rest):
    return [a, rest]


def everything(a, /, b, *args, c, d=4, **kwargs):
    return [a, b, list(args), c, d, kwargs]


def unfortunate_names(self, cls, context, kind, function, delay, when):
    return [self, cls, context, kind, function, delay, when]


def unfortunate_names_but_self(cls, context, kind, function, delay, when):
    return [cls, context, kind, function, delay, when]


FITTING = [
    (plain, (1,), {}, [1, 2]),
    (plain, (1, 5), {}, [1, 5]),
    (plain, (), {"b": 1, "a": 0}, [0, 1]),
    (keyword_only, (1,), {"b": 2}, [1, 2, 3]),
    (keyword_only, (1,), {"b": 2, "c": 4}, [1, 2, 4]),
    (positional_only, (1,), {}, [1, 2, 3]),
    (positional_only, (1, 5), {"c": 6}, [1, 5, 6]),
    (any_number, (), {}, [[]]),
    (any_number, (1, 2, 3), {"scale": 2}, [[2, 4, 6]]),
    (any_names, (1,), {"x": 1, "numbers": [1]}, [1, {"x": 1, "numbers": [1]}]),
    (everything, (1, 2), {"c": 3}, [1, 2, [], 3, 4, {}]),
    (everything, (1, 2, 9, 9), {"c": 3, "a": 7, "d": 0}, [1, 2, [9, 9], 3, 0, {"a": 7}]),
    (
        unfortunate_names,
        (),
        {"self": 1, "cls": 2, "context": 3, "kind": 4, "function": 5, "delay": 6, "when": 7},
        [1, 2, 3, 4, 5, 6, 7],
    ),
]
MISFITS = [
    (plain, (), {}, "missing a required argument: 'a'"),
    (plain, (1, 2, 3), {}, "too many positional arguments"),
    (plain, (1,), {"c": 3}, "unexpected keyword argument 'c'"),
    (plain, (1,), {"a": 3}, "multiple values for argument 'a'"),
    (keyword_only, (1,), {}, "missing a required.*argument: 'b'"),
    (keyword_only, (1, 2), {}, "too many positional arguments"),
    (positional_only, (), {"a": 1}, "'a'"),
    (positional_only, (1,), {"b": 1}, "'b'"),
    (any_number, (), {"size": 1}, "unexpected keyword argument 'size'"),
    (any_names, (), {"x": 1}, "missing a required argument: 'a'"),
    (everything, (1, 2), {}, "missing a required.*argument: 'c'"),
]


class TestBinding:
    @pytest.mark.parametrize(("function", "args", "kwargs", "expected"), FITTING)
    def test_what_fits_arrives_as_it_was_passed(self, function, args, kwargs, expected):
        assert ran(job(registry=Registry())(function), *args, **kwargs) == returned(expected)

    @pytest.mark.parametrize(("function", "args", "kwargs", "expected"), FITTING)
    def test_in_a_class_too(self, function, args, kwargs, expected):
        if function is unfortunate_names:  # a method has a self already
            kwargs = {name: value for name, value in kwargs.items() if name != "self"}
            function, expected = unfortunate_names_but_self, expected[1:]
        as_class = type("AsClass", (Job,), {"perform": as_method(function), "registry": Registry()})
        assert ran(as_class, *args, **kwargs) == returned(expected)

    @pytest.mark.parametrize(("function", "args", "kwargs", "said"), MISFITS)
    def test_what_does_not_fit_fails_here_and_names_the_argument(self, function, args, kwargs, said):
        with pytest.raises(WrongArguments, match=said) as caught:
            written(job(registry=Registry())(function), *args, **kwargs)
        # The message tells what would fit.
        assert str(caught.value).startswith(f"{function.__name__} takes {inspect.signature(function)}")

    def test_it_is_a_type_error_as_a_plain_call_would_raise(self):
        with pytest.raises(TypeError):
            written(job(registry=Registry())(plain))

    names = st.sampled_from(["a", "b", "c", "d", "x"])

    @given(
        function=st.sampled_from([plain, keyword_only, positional_only, any_number, any_names, everything]),
        args=st.lists(st.integers(0, 9), max_size=4),
        kwargs=st.dictionaries(names, st.integers(0, 9), max_size=4),
    )
    def test_exactly_what_python_would_take_is_taken(self, function, args, kwargs):
        decorated = job(registry=Registry())(function)
        try:
            expected = function(*args, **kwargs)
        except TypeError:
            with pytest.raises(WrongArguments):
                written(decorated, *args, **kwargs)
        else:
            assert ran(decorated, *args, **kwargs) == returned(expected)


def as_method(function):
    """The function with a self before its parameters."""
    signature = inspect.signature(function)

    def perform(self, *args, **kwargs):
        return function(*args, **kwargs)

    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    if next(iter(signature.parameters.values())).kind is not inspect.Parameter.POSITIONAL_ONLY:
        first = first.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    perform.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])
    return perform


class Custom: ...


def endless():
    value: list[object] = []
    value.append(value)
    return value


def endless_dict():
    value: dict[str, object] = {}
    value["self"] = [value]
    return value


UNSUITABLE = [
    (datetime(2026, 1, 1), "argument 'value' of send is a datetime", r"when.isoformat\(\)"),
    (date(2026, 1, 1), "argument 'value' of send is a date,", r"day.isoformat\(\)"),
    (timedelta(1), "argument 'value' of send is a timedelta", r"delta.total_seconds\(\)"),
    (Decimal("1.1"), "argument 'value' of send is a Decimal", r"str\(amount\)"),
    (uuid.UUID(int=1), "argument 'value' of send is a UUID", r"str\(id\)"),
    ({1, 2}, "argument 'value' of send is a set", r"sorted\(values\)"),
    (frozenset("a"), "argument 'value' of send is a frozenset", r"sorted\(values\)"),
    (b"raw", "argument 'value' of send is a bytes", r"data.decode\(\), or base64"),
    (Custom(), "argument 'value' of send is a Custom", "pass numbers, text, lists, or its id"),
    (Custom, "argument 'value' of send is a type", "pass numbers, text"),
    ((n for n in [1]), "argument 'value' of send is a generator", "lists"),
    (1j, "argument 'value' of send is a complex", "pass numbers"),
    (float("nan"), "argument 'value' of send is nan", "pass None or text"),
    (float("-inf"), "argument 'value' of send is -inf", "pass None or text"),
    ("half \ud800", "argument 'value' of send has half a surrogate pair", "mend it"),
    ([1, [2, {3}]], "argument 'value' of send, item 1, item 1 is a set", "pass a list"),
    ({"a": [{"b": b""}]}, "argument 'value' of send, key 'a', item 0, key 'b' is a bytes", "pass text"),
    (({"when": date.min},), "argument 'value' of send, item 0, key 'when' is a date", "isoformat"),
    ({1: "x"}, "argument 'value' of send has the key 1", r"pass str\(1\)"),
    ({None: "x"}, "argument 'value' of send has the key None", r"pass str\(None\)"),
    ({"a": {(1, 2): 3}}, r"argument 'value' of send, key 'a' has the key \(1, 2\)", "only text keys"),
    (
        endless(),
        "argument 'value' of send, item 0, item 0, item 0, … is nested more than 200 deep, or contains itself",
        "flatter",
    ),
    (endless_dict(), "argument 'value' of send, key 'self'.* or contains itself", "flatter"),
    (10**5000, "the arguments of send cannot be written as JSON", "digits"),
]


class TestSerialising:
    @pytest.mark.parametrize(
        ("value", "what", "instead"),
        UNSUITABLE,
        ids=[f"{n} {type(row[0]).__name__}" for n, row in enumerate(UNSUITABLE)],
    )
    def test_what_json_cannot_hold_fails_here_and_says_which_one_where_and_what_to_pass(self, value, what, instead):
        @job(registry=Registry())
        def send(first, value=None): ...

        for args, kwargs in [((1, value), {}), ((1,), {"value": value})]:
            with pytest.raises(NotSerialisable, match=f"(?s){what}.*{instead}"):
                written(send, *args, **kwargs)

    def test_among_many_positional_ones_its_place_is_named(self):
        @job(registry=Registry())
        def send(*values): ...

        with pytest.raises(NotSerialisable, match="argument 'values' of send, item 2 is a set"):
            written(send, 1, "x", {1})

    def test_among_free_names_its_name_is(self):
        @job(registry=Registry())
        def send(**values): ...

        with pytest.raises(NotSerialisable, match="argument 'values' of send, key 'b' is a bytes"):
            written(send, a=1, b=b"")

    def test_numbers_in_keys_are_not_turned_into_text_in_silence(self):
        # The standard library would: {1: "x"} would arrive as {"1": "x"}, and the job would fail far from the mistake.
        assert json.dumps({1: "x"}) == '{"1": "x"}'
        with pytest.raises(NotSerialisable):
            written(job(registry=Registry())(plain), {1: "x"})

    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**30), 10**30)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
        max_leaves=20,
    )

    @given(args=st.lists(values, max_size=3), kwargs=st.dictionaries(st.sampled_from(["x", "y"]), values))
    def test_what_json_can_hold_arrives_as_it_was(self, args, kwargs):
        call = written(job(registry=Registry())(everything_of), *args, **kwargs)
        assert (call.name, call.args, call.kwargs) == ("everything_of", args, kwargs)

    hostile = st.recursive(
        st.none()
        | st.floats()
        | st.text()
        | st.binary(max_size=3)
        | st.sampled_from([Custom(), Decimal(1), 10**400, endless()]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=3)
        ),
        max_leaves=6,
    )

    @given(value=hostile)
    def test_either_it_is_written_or_it_is_refused_and_nothing_else(self, value):
        send = job(registry=Registry())(everything_of)
        for args, kwargs in [((value,), {}), ((), {"key": value})]:
            try:
                body = send.job_class.body(args, kwargs)
            except NotSerialisable:
                continue
            body.encode()
            assert read_call(body).name == "everything_of"

    def test_a_tuple_arrives_as_a_list(self):
        # The one change that JSON makes and that is let pass: everybody does it.
        assert written(job(registry=Registry())(plain), (1, 2)).args == [[1, 2]]

    def test_text_is_stored_as_it_is_read(self):
        assert '"äöü 日本 😀"' in job(registry=Registry())(plain).job_class.body(("äöü 日本 😀",), {})

    @pytest.mark.parametrize("text", ["x", "ä", "😀"])
    def test_too_large_says_how_large_and_what_the_limit_is(self, text):
        send = job(registry=Registry())(plain).job_class
        overhead = len(send.body(("",), {}))
        fits = text * ((PAYLOAD_LIMIT_BYTES - overhead) // len(text.encode()))
        send.body((fits,), {})
        size = overhead + len((fits + 4 * text).encode())
        with pytest.raises(TooLarge, match=f"take {size:,} bytes as JSON, and the limit is 524,288: store them"):
            send.body((fits + 4 * text,), {})


def everything_of(*args, **kwargs): ...


class TestReading:
    @given(text=st.text())
    def test_hostile_text_is_unreadable_and_nothing_worse(self, text):
        try:
            read_call(text)
        except Unreadable:
            pass

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
    objects = st.dictionaries(st.sampled_from(["job", "args", "kwargs", "options", "slot", "x"]), json_values)
    calls = st.fixed_dictionaries({"job": st.text()}, optional={"args": st.lists(json_values), "slot": json_values})

    @given(value=json_values | objects | calls)
    def test_what_is_read_has_the_types_that_it_promises(self, value):
        try:
            call = read_call(json.dumps(value))
        except Unreadable:
            return
        assert [type(part) for part in call[:4]] == [str, list, dict, dict]
        assert call.slot is None or type(call.slot) in (int, float)

    @given(options=st.dictionaries(st.text(max_size=3) | st.sampled_from(["retries", "timeout", "self"]), json_values))
    def test_hostile_options_are_unreadable_and_nothing_worse(self, options):
        job_class = job(registry=Registry())(plain).job_class
        try:
            with_options(job_class, Call("plain", [], {}, options))
        except Unreadable:
            pass

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("", "not JSON"),
            ("[1", "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[]", "a JSON list, not an object"),
            ('"x"', "a JSON str"),
            ("{}", 'no "job" that is a string'),
            ('{"job":1}', 'no "job" that is a string'),
            ('{"job":"a","args":{}}', '"args" must be a list'),
            ('{"job":"a","kwargs":[]}', '"kwargs" and "options" objects'),
        ],
    )
    def test_what_it_is_instead_stands_in_the_message(self, body, said):
        with pytest.raises(Unreadable, match=re.escape(said)):
            read_call(body)

    def test_arguments_and_options_may_be_left_out(self):
        assert read_call('{"job":"a"}') == Call("a", [], {}, {})


class TestRunning:
    def test_a_result_is_stored_as_json(self):
        assert ran(job(registry=Registry())(plain), 1) == Returned("[1,2]")

    def test_an_async_function_gets_an_event_loop_of_its_own(self):
        import asyncio

        @job(registry=Registry())
        async def fetch(n: int) -> int:
            await asyncio.sleep(0)
            assert asyncio.get_running_loop()
            return n + 1

        class Fetch(Job):
            registry = Registry()

            async def perform(self, n: int) -> int:
                await asyncio.sleep(0)
                return n + 2

        assert ran(fetch, 1) == Returned("2")
        assert ran(Fetch, 1) == Returned("3")

    def test_an_async_function_that_raises_fails_like_any_other(self):
        @job(registry=Registry())
        async def fetch() -> int:
            raise ValueError("no")

        outcome = ran(fetch)
        assert isinstance(outcome, Raised)
        assert (outcome.error, outcome.message) == ("ValueError", "no")

    def test_a_traceback_begins_in_the_readers_own_code(self):
        @job(registry=Registry())
        def boom() -> None:
            raise ValueError("here")

        class Boom(Job):
            registry = Registry()

            def perform(self) -> None:
                raise ValueError("here")

        for kind in (boom, Boom):
            outcome = ran(kind)
            assert isinstance(outcome, Raised)
            assert 'raise ValueError("here")' in outcome.traceback
            assert "minique/job.py" not in outcome.traceback

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError("deep")])
    def test_whatever_it_raises_is_an_outcome(self, error):
        @job(registry=Registry())
        def quits() -> None:
            raise error

        outcome = ran(quits)
        assert isinstance(outcome, Raised)
        assert outcome.error == type(error).__name__
        assert outcome.may_retry

    def test_an_exception_that_cannot_even_be_described_is_one_too(self):
        class Hostile(Exception):
            def __str__(self) -> str:
                raise ZeroDivisionError

        @job(registry=Registry())
        def boom() -> None:
            raise Hostile

        outcome = ran(boom)
        assert isinstance(outcome, Raised)
        assert (outcome.error, outcome.message) == ("Hostile", "(its message could not be read)")

    def test_a_message_of_a_megabyte_is_cut(self):
        @job(registry=Registry())
        def boom() -> None:
            raise ValueError("x" * 1_000_000)

        outcome = ran(boom)
        assert isinstance(outcome, Raised)
        assert len(outcome.message) == TRACEBACK_LIMIT_CHARACTERS
        assert len(outcome.traceback) == TRACEBACK_LIMIT_CHARACTERS + 1

    @pytest.mark.parametrize(
        "value",
        [{1}, b"", Custom(), {1: 2}, [float("nan")], endless(), "\ud800", 10**5000],
        ids=["set", "bytes", "object", "key", "nan", "endless", "surrogate", "integer"],
    )
    def test_a_result_that_json_cannot_hold_is_a_failure_that_trying_again_would_not_mend(self, value):
        @job(registry=Registry())
        def answer():
            return value

        outcome = ran(answer)
        assert isinstance(outcome, Raised)
        assert (outcome.error, outcome.may_retry) == ("NotSerialisable", False)

    def test_a_result_that_is_too_large_says_how_large(self):
        @job(registry=Registry())
        def answer():
            return "ä" * (RESULT_LIMIT_BYTES // 2)

        outcome = ran(answer)
        assert isinstance(outcome, Raised)
        assert (outcome.error, outcome.may_retry) == ("TooLarge", False)
        assert "takes 524,290 bytes as JSON; the limit is 524,288" in outcome.message

    def test_a_job_knows_its_id_and_its_attempt(self):
        class Who(Job):
            registry = Registry()

            def perform(self):
                return [self.id, self.attempt]

        assert run(Who.job_class, Context(ID, "default", 4), Call("Who", [], {}, {})) == Returned(f'["{ID}",4]')

    def test_whoever_watches_all_jobs_is_told_which_one_it_is(self):
        registry, told = Registry(), []
        for hook in (registry.hooks.before_perform, registry.hooks.after_perform, registry.hooks.on_failure):
            hook(lambda running, *_: told.append((running.name, running.args, running.kwargs)))

        @job(name="bank.charge", registry=registry)
        def charge(order: int, fee: int = 0) -> float:
            return order / fee

        run(charge.job_class, Context(ID, "default", 1), Call("bank.charge", [4], {"fee": 2}, {}))
        assert told == [("bank.charge", (4,), {"fee": 2})] * 2
        run(charge.job_class, Context(ID, "default", 1), Call("bank.charge", [4], {}, {}))
        assert told[2:] == [("bank.charge", (4,), {})] * 2


class TestIds:
    @given(seconds=st.floats(0, 1e10), seed=st.integers())
    def test_an_id_is_twenty_characters_that_every_shell_and_url_takes_as_they_are(self, seconds, seed):
        id = make_id(seconds, Random(seed))
        assert re.fullmatch("[0-9a-z]{20}", id)
        assert is_id(id)

    @given(one=st.integers(0, 10**13), other=st.integers(0, 10**13), seed=st.integers())
    def test_ids_sort_by_the_millisecond_in_which_they_were_made(self, one, other, seed):
        rng = Random(seed)
        ids = [make_id((n + 0.5) / 1000, rng) for n in (one, other)]
        if one != other:
            assert (one < other) == (ids[0] < ids[1])

    @given(milliseconds=st.integers(0, 10**13))
    def test_an_id_tells_when_it_was_made(self, milliseconds):
        assert made_at(make_id((milliseconds + 0.5) / 1000, Random(1))) == milliseconds / 1000

    @given(text=st.text(max_size=25) | st.text("0123456789abcdefghijklmnopqrstuvwxyz\n", min_size=19, max_size=21))
    def test_other_text_is_no_id(self, text):
        assert is_id(text) == bool(re.fullmatch("[0-9a-hjkmnp-tv-z]{20}", text))
        assert (made_at(text) is None) == (not is_id(text))

    def test_threads_never_make_the_same_one(self):
        rng = SystemRandom()
        made: list[list[str]] = [[] for _ in range(8)]

        def make(mine: list[str]) -> None:
            mine += [make_id(1.0, rng) for _ in range(2000)]  # all in one millisecond

        threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id for mine in made for id in mine}) == 16_000

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
    def test_a_forked_child_does_not_make_its_parents_ids_again(self):
        # With a generator that was seeded before the fork, it would.
        from minique.clock import ManualClock

        mq = connect("memory://", clock=ManualClock())
        mq.new_id()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, "".join(mq.new_id() for _ in range(50)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        theirs = os.read(read, 5000).decode()
        os.close(read)
        os.close(write)
        assert len(theirs) == 1000
        assert not {theirs[n : n + 20] for n in range(0, 1000, 20)} & {mq.new_id() for _ in range(50)}


class TestTheDefaultClient:
    @pytest.fixture
    def mq(self):
        mq = connect("memory://")
        set_default_client(mq)
        yield mq
        set_default_client(None)

    def test_a_job_class_can_enqueue_itself(self, mq):
        class Archive(Job):
            registry = Registry()

            def perform(self, n: int, cls: str = "") -> None: ...

        @job(registry=Registry())
        def send(n: int, self: str = "", delay: str = "", when: str = "") -> None: ...

        handles = [
            Archive.enqueue(1, cls="x"),
            send.enqueue(2, self="x"),
            send.enqueue_in(5, 3, delay="x"),
            send.enqueue_at(5_000_000_000, 4, when="x"),
        ]
        assert [handle.state() for handle in handles] == ["queued", "queued", "delayed", "delayed"]
        calls = [read_call(mq.job(handle.id).record().body) for handle in handles]
        assert [(call.args, call.kwargs) for call in calls] == [
            ([1], {"cls": "x"}),
            ([2], {"self": "x"}),
            ([3], {"delay": "x"}),
            ([4], {"when": "x"}),
        ]
