"""A schedule file: what is read from it, and how it is told what is wrong."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minique import job
from minique.errors import UsageError
from minique.registry import Registry
from minique.schedule import BadSchedule
from minique.schedule_file import FILE_LIMIT_BYTES, parse_schedule, read_schedule, seconds_of


def one(text):
    (entry,) = parse_schedule(text).entries
    return entry


def problems(text):
    with pytest.raises(BadSchedule) as raised:
        parse_schedule(text)
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


def problem(text):
    (only,) = problems(text)
    return only


class TestWhatIsRead:
    def test_resque_schedulers_own_example(self):
        file = parse_schedule(
            """
CancelAbandonedOrders:
  cron: "*/5 * * * *"

queue_documents_for_indexing:
  # rufus-scheduler's words
  every: 1h
  class: "QueueDocuments"
  queue: high
  args:
  description: "This job queues all content for indexing in solr"

clear_leaderboards_contributors:
  cron: "30 6 * * 1"
  class: ClearLeaderboards
  queue: low
  args: contributors
"""
        )
        first, second, third = file.entries
        assert (first.name, first.job, first.cron) == ("CancelAbandonedOrders", "CancelAbandonedOrders", "*/5 * * * *")
        assert (second.job, second.every_seconds, second.queue, second.args) == ("QueueDocuments", 3600, "high", ())
        assert second.description == "This job queues all content for indexing in solr"
        assert (third.job, third.args) == ("ClearLeaderboards", ("contributors",))
        assert {entry.source for entry in file.entries} == {"file"}
        assert dict(file.lines) == {
            "CancelAbandonedOrders": 2,
            "queue_documents_for_indexing": 5,
            "clear_leaderboards_contributors": 13,
        }

    def test_the_words_that_are_ours(self):
        entry = one("a: {cron: '0 8 * * *', tz: Europe/Berlin, catch_up: all, overlap: skip, jitter: 30s}")
        assert (entry.tz, entry.catch_up, entry.overlap, entry.jitter_seconds) == ("Europe/Berlin", "all", "skip", 30)

    @pytest.mark.parametrize(
        ("written", "args", "kwargs"),
        [
            ("contributors", ("contributors",), {}),
            ("7", (7,), {}),
            ("[1, 2.5, null, true, 'x', [1], {a: b}]", (1, 2.5, None, True, "x", [1], {"a": "b"}), {}),
            ("{a: 1, b: [x]}", (), {"a": 1, "b": ["x"]}),
            ("", (), {}),
            ("[]", (), {}),
            ("[[]]", ([],), {}),
            ("'yes'", ("yes",), {}),
            ("'2024-01-01'", ("2024-01-01",), {}),
            ("0x1F", (31,), {}),
            ("-3", (-3,), {}),
            ("0", (0,), {}),
            ("FALSE", (False,), {}),
            ("!!str 5", ("5",), {}),
            ("1.2.3", ("1.2.3",), {}),
            ("{1: x}", (), {"1": "x"}),
        ],
    )
    def test_arguments(self, written, args, kwargs):
        entry = one(f"a:\n  every: 5m\n  args: {written}\n")
        assert entry.args == args
        assert list(map(type, entry.args)) == list(map(type, args))
        assert entry.kwargs == kwargs

    @pytest.mark.parametrize(
        ("written", "seconds"),
        [
            ("30", 30), ("2.5", 2.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400),
            ("1w", 604_800), ("'90'", 90), ("1h 30m", 5400), ("['5m']", 300), ("['5m', {}]", 300), ("0.5h", 1800),
        ],
    )  # fmt: skip
    def test_durations(self, written, seconds):
        assert one(f"a: {{every: {written}}}").every_seconds == seconds

    @pytest.mark.parametrize(
        ("written", "cron", "zone"),
        [
            ("0 8 * * * Europe/Berlin", "0 8 * * *", "Europe/Berlin"),
            ("0 0 8 * * * America/Argentina/Buenos_Aires", "0 0 8 * * *", "America/Argentina/Buenos_Aires"),
            ("0 8 * * * UTC", "0 8 * * *", "UTC"),
            ("0 8 * * mon-fri CET", "0 8 * * mon-fri", "CET"),
            ("0 8 * * MON", "0 8 * * MON", "UTC"),
            ("0 0 8 * * sun", "0 0 8 * * sun", "UTC"),
            ("0 0 8 * * mon,FRI", "0 0 8 * * mon,FRI", "UTC"),
            ("@daily Europe/Berlin", "@daily", "Europe/Berlin"),
        ],
    )
    def test_a_zone_may_stand_at_the_end_of_cron(self, written, cron, zone):
        entry = one(f'a: {{cron: "{written}"}}')
        assert (entry.cron, entry.tz) == (cron, zone)

    def test_aliases_and_merges(self):
        file = parse_schedule(
            "a: &common {every: 5m, queue: low, args: [1]}\n"
            "b: {<<: *common, queue: high}\n"
            "c: {<<: [{class: X}, *common]}\n"
        )
        assert [(entry.queue, entry.args, entry.job) for entry in file.entries] == [
            ("low", (1,), "a"),
            ("high", (1,), "b"),
            ("low", (1,), "X"),
        ]

    @pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}", "~"])
    def test_a_file_without_entries_is_a_schedule_without_entries(self, text):
        assert parse_schedule(text).entries == ()

    def test_from_a_file(self, tmp_path):
        path = tmp_path / "schedule.yml"
        path.write_bytes(b"\xef\xbb\xbfreport: {every: 5m, description: \xc3\xa9t\xc3\xa9}\r\n")
        assert read_schedule(path).entries[0].description == "été"


class TestWhatIsWrong:
    def test_everything_is_told_at_once_with_its_line(self):
        told = problems(
            """
a:
  cron: "0 25 * * *"
  tz: Europe/Berln
a:
  every: 1:30
b:
  evry: 5
  class: [x]
c: hello
d: {every: 5m, jitter: 6m, queue: a b, catch_up: some}
e: {every: 5m, args: [yes, {z: 010}]}
f: {}
"""
        )
        lines = [text.split(": ")[0] for text in told]
        assert lines == [f"schedule.yml, line {line}" for line in (3, 4, 5, 8, 9, 10, 11, 11, 11, 12, 12, 13)]
        assert "the hour cannot be '25'" in told[0]
        assert "did you mean Europe/Berlin" in told[1]
        assert "entry 'a'" in told[1]
        assert "'a' stands twice in the file, first in line 2" in told[2]
        assert "did you mean every?" in told[3]
        assert "neither cron nor every" in told[-1]

    def test_nothing_is_returned_unless_all_is_right(self):
        assert len(problems("good: {every: 5m}\nbad: {every: 5x}\n")) == 1

    @pytest.mark.parametrize(
        ("written", "words"),
        [
            ("{every: 5m, cron: '* * * * *'}", "both cron and every"),
            ("{every: 5M}", "@monthly"),
            ("{every: 1:30}", "base sixty"),
            ("{every: []}", "write a duration"),
            ("{every: [5m, {first_in: 20s}]}", "'first_in' cannot be honoured"),
            ("{every: [5m, {':first_at': 20s}]}", "give the time with cron"),
            ("{every: [5m, {overlap: false}]}", "write overlap: skip"),
            ("{every: true}", "no duration"),
            ("{every: 0.1}", "1 second to ten years"),
            ("{every: 0}", "every is 0; it can be 1 second to ten years"),
            ("{every: [0s]}", "it can be 1 second to ten years"),
            ("{every: 99999999999w}", "1 second to ten years"),
            ("{every: -5}", "number of seconds"),
            ("{every: 5m, first_in: 3}", "counted from the epoch"),
            ("{every: 5m, rails_env: production}", "'rails_env' is not understood"),
            ("{every: 5m, job: X}", "write class"),
            ("{every: 5m, timezone: UTC}", "write tz"),
            ("{every: 5m, colour: red}", "there are cron, every, class"),
            ("{every: 5m, queue: 7}", "in quotes"),
            ("{every: 5m, class: yes}", "write true or false"),
            ("{every: 5m, class: a b}", "name of a job class"),
            ("{cron: 5}", "in quotes"),
            ("{cron: '0 8 * * * Europe/Berln'}", "did you mean Europe/Berlin"),
            ("{cron: '0 8 * * Europe/Berlin'}", "4 fields"),
            ("{cron: '0 8 * * FOO'}", "the day of the week cannot be 'FOO'"),
            ("{cron: '0 8 * * * Europe/Berlin', tz: UTC}", "keep one"),
            ("{tz: UTC, cron: '0 8 * * * Europe/Berlin'}", "keep one"),
            ("{every: 5m, every: 6m}", "'every' stands twice in the entry"),
            ("{every: 5m, args: {a: 1, a: 2}}", "'a' stands twice in the mapping"),
            ("{every: 5m, args: no}", "true or false to one YAML and text to another"),
            ("{every: 5m, args: On}", "true or false to one YAML and text to another"),
            ("{every: 5m, args: 12:30}", "base sixty"),
            ("{every: 5m, args: 12:30:45.5}", "base sixty"),
            ("{every: 5m, args: 2024-01-01}", "a date to one YAML"),
            ("{every: 5m, args: 2024-01-01T10:00:00Z}", "a date to one YAML"),
            ("{every: 5m, args: 010}", "octal"),
            ("{every: 5m, args: 0o10}", "a number to another"),
            ("{every: 5m, args: 0b11}", "binary"),
            ("{every: 5m, args: 1_000}", "without _"),
            ("{every: 5m, args: 1e3}", "a number to another"),
            ("{every: 5m, args: .inf}", "JSON"),
            ("{every: 5m, args: .NaN}", "JSON"),
            ("{every: 5m, args: !!binary aGk=}", "is not read"),
            ("{every: 5m, args: !!int x}", "is not read"),
            ("{every: 5m, args: !!set {a}}", "is not read"),
            ("{every: 5m, args: !own x}", "is not read"),
            ("{every: 5m, args: {yes: 1}}", "the key 'yes'"),
            ("{every: 5m, args: {[a]: 1}}", "a key must be text"),
            ("!!python/object/apply:os.system [ls]", "must be a mapping"),
            ("!!python/object:os.x {every: 5m}", "is not read"),
            ("{every: 5m, args: [!!python/name:os.system '']}", "is not read"),
            ("{every: 5m, args: &x [*x]}", "contain themselves"),
            ("&x {<<: *x, every: 5m}", "does not contain itself"),
            ("{<<: 3, every: 5m}", "<< takes an alias of a mapping"),
            ("[1]", "must be a mapping"),
            ("", "must be a mapping"),
        ],
    )
    def test_it_says_where_in_which_entry_and_what_instead(self, written, words):
        told = problem(f"\nreport: {written}\n")
        assert told.startswith("schedule.yml, line 2: entry 'report': ")
        assert words in told

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("a:\n  cron: */5 * * * *\n", 2, 'needs quotes: cron: "*/5 * * * *"'),
            ("a:\n  cron: * * * * *\n", 2, "needs quotes"),
            ("a:\n  cron: @daily\n", 2, 'needs quotes: cron: "@daily"'),
            ("a:\n\tevery: 5m\n", 2, "not with tabs"),
            ("a: {every: 5m\nb: 3", 2, ""),
            ("<% if x %>\na: {every: 5m}\n<% end %>\n", 2, "templates"),
            ("a: {every: 5m}\n--- \nb: {every: 5m}\n", 2, "another document"),
            ("a: *nowhere\n", 1, "undefined alias"),
            ("- a\n", 1, "a mapping of names to entries"),
            ("yes: {every: 5m}\n", 1, "the key 'yes'"),
            ("? [a]\n: {every: 5m}\n", 1, "a key must be text"),
        ],
    )
    def test_what_is_no_yaml_or_no_schedule(self, text, line, words):
        told = problem(text)
        assert told.startswith(f"schedule.yml, line {line}: ")
        assert words in told

    def test_a_bomb_of_aliases_is_refused(self):
        levels = [f"&b{n} [{', '.join([f'*b{n - 1}'] * 9) if n else 'x'}]" for n in range(12)]
        assert "use fewer aliases" in problems(f"a: {{every: 5m, args: [{', '.join(levels)}]}}")[0]
        merges = ["x0: &m0 {every: 5m}"] + [
            f"x{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, 12)
        ]
        assert "use fewer aliases" in problems("\n".join(merges))[0]

    @pytest.mark.parametrize("text", ["[" * 100_000, "a: {" * 5000, "- " * 5000, "a: " + "[" * 60 + "]" * 60])
    def test_nesting_without_end_is_refused(self, text):
        problems(text)

    @given(st.text(max_size=60) | st.text("a:{}[]&*!<?-|>'\"% \n\t,#1y", max_size=60))
    @example('a: "\\UFFFFFFFF"')
    @example("\x00")
    @example("a: {every: 5m, args: !!float ''}")
    @example("!!map a")
    @example("a: {every: 5m, args: !!map x}")
    @example("a: {every: 5m, args: !!seq {}}")
    @example("a: {every: 5m, args: !!null x}")
    @example("%YAML 9.9\n--- a")
    @example("= : {every: 5m}")
    @example("a: {every: 5m, args: =}")
    @example("a: {every: 5m, args: 0x_}")
    @example("a: {every: 5m, args: " + "9" * 5000 + "}")
    def test_any_text_is_a_schedule_or_a_bad_one(self, text):
        told: tuple[str, ...] = ("",)
        try:
            parse_schedule(text)
        except BadSchedule as error:
            told = error.problems
        assert told

    def test_files_that_cannot_be_read(self, tmp_path):
        with pytest.raises(BadSchedule, match=r"nothing\.yml cannot be read: No such file"):
            read_schedule(tmp_path / "nothing.yml")
        with pytest.raises(BadSchedule, match="cannot be read: Is a directory"):
            read_schedule(tmp_path)
        path = tmp_path / "latin.yml"
        path.write_bytes(b"a: {every: 5m}\nb: {every: 5m, description: \xe9}\n")
        with pytest.raises(BadSchedule, match="line 2: this is not UTF-8"):
            read_schedule(path)
        path.write_bytes(b" " * (FILE_LIMIT_BYTES + 1))
        with pytest.raises(BadSchedule, match="which no schedule is"):
            read_schedule(path)

    def test_without_pyyaml_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "yaml", None)
        with pytest.raises(UsageError, match=r"minique-queue\[schedule\]"):
            parse_schedule("a: {every: 5m}")

    def test_nothing_of_the_file_is_run(self, tmp_path):
        made = tmp_path / "made"
        path = f"!!python/object/apply:pathlib.Path ['{made}']"
        problems(f"a: {{every: 5m, args: !!python/object/apply:pathlib.Path.touch [{path}]}}")
        assert not made.exists()


@pytest.mark.parametrize("wrong", ["", "5", "m", "5 x", "5m3", "-5m", "5ms", "1y", "½h", None, True, [5], "9" * 400])
def test_what_is_no_duration(wrong):
    if wrong == "5":
        assert seconds_of(wrong) == 5
        return
    with pytest.raises(ValueError, match="is no duration"):
        seconds_of(wrong)


class TestAgainstJobClasses:
    @pytest.fixture
    def registry(self):
        registry = Registry()

        @job(registry=registry, queue="reports")
        def Report(kind, days=7):
            pass

        return registry

    def test_entries_take_the_queues_of_their_classes(self, registry):
        file = parse_schedule(
            "a: {every: 5m, class: Report, args: x}\nb: {every: 5m, class: Report, args: x, queue: low}\n"
        )
        assert [entry.queue for entry in file.check_against(registry)] == ["reports", "low"]

    def test_unknown_classes_and_arguments_that_do_not_fit_are_told_together(self, registry):
        file = parse_schedule(
            "a: {every: 5m, class: Reports}\nb: {every: 5m, class: Report}\n"
            "c: {every: 5m, class: Report, args: {kind: x, colour: red}}\nReport: {every: 5m, args: [x, 1]}\n"
        )
        with pytest.raises(BadSchedule) as raised:
            file.check_against(registry)
        first, second, third = raised.value.problems
        assert first.startswith("schedule.yml, line 1: entry 'a': no job class is called 'Reports'")
        assert first.endswith("did you mean Report?")
        assert second.startswith("schedule.yml, line 2: entry 'b': Report takes (kind, days=7)")
        assert third.startswith("schedule.yml, line 3: entry 'c': Report takes")
