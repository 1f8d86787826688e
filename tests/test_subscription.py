"""Which queues a worker serves; and that the server's Lua has the same rule as Python."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minique import lua
from minique.errors import BadName
from minique.subscription import NAME, SUBSCRIPTION_LIMIT, Subscription, check_queue_name

parts = st.text("ab_.+-1", min_size=1, max_size=3).filter(NAME.fullmatch)
patterns = parts | parts.map(lambda part: part + "*") | st.just("*")
terms = st.tuples(st.sampled_from(("", "", "!")), patterns).map("".join)


def test_a_name_serves_that_queue_and_no_other():
    subscription = Subscription.parse("mail")
    assert subscription.serves("mail")
    assert not any(map(subscription.serves, ("mai", "mail2", "Mail", "")))


def test_a_star_serves_all_and_a_beginning_serves_what_begins_so():
    assert Subscription.parse("*").serves("anything")
    assert Subscription.parse("file_*").serves("file_")
    assert Subscription.parse("file_*").serves("file_1")
    assert not Subscription.parse("file_*").serves("file")


def test_an_exclusion_wins_wherever_it_stands():
    for text in ("!low,*", "*,!low"):
        assert not Subscription.parse(text).serves("low")
        assert Subscription.parse(text).serves("lower")
    assert not Subscription.parse("low_1,!low_*").serves("low_1")


def test_spaces_and_repetitions_do_not_make_another_bell():
    assert Subscription.parse(" mail , *,mail ").text == "mail,*"


def test_order_is_kept_since_it_is_priority():
    assert Subscription.parse("b,a,*").terms == ("b", "a", "*")


@pytest.mark.parametrize("text", ["", ",", "mail,", "ma il", "*x", "a*b", "!", "!!a", "a\nb", "-x", "ä"])
def test_what_is_no_term_is_refused_with_what_to_write(text):
    with pytest.raises(BadName, match=r"write a name \(mail\)"):
        Subscription.parse(text)


def test_exclusions_alone_serve_nothing_and_are_refused():
    with pytest.raises(BadName, match=r"only exclude.*\*"):
        Subscription.parse("!low")


def test_a_list_without_end_is_refused():
    with pytest.raises(BadName, match=str(SUBSCRIPTION_LIMIT)):
        Subscription.parse(",".join(f"queue{n}" for n in range(200)))


@pytest.mark.parametrize("name", ["mail", "a", "_", "q" * 64, "a.b:c/d@e+f-g", "0"])
def test_these_are_names_of_queues(name):
    assert check_queue_name(name) == name


@pytest.mark.parametrize("name", ["", "q" * 65, "!a", "a*", "a,b", "a b", "a\n", "é", "-a", "{a}", None, 3, b"mail"])
def test_these_are_not(name):
    with pytest.raises(BadName, match="cannot be the name of a queue"):
        check_queue_name(name)


@given(st.lists(terms, min_size=1, max_size=4), parts)
def test_a_subscription_reads_back_as_itself(texts, queue):
    try:
        once = Subscription.parse(",".join(texts))
    except BadName:
        assert all(text.startswith("!") for text in texts)
        return
    assert Subscription.parse(once.text) == once
    assert once.serves(queue) == Subscription.parse(once.text).serves(queue)


PROBE = """-- probe    which of the names does a subscription serve?
-- uses     put
-- args     subscription names...
local terms, excluded = read_subscription(subscription)
local answers = {}
for i, name in ipairs(names) do
  answers[i] = any_matches(terms, name) and not any_matches(excluded, name) and 1 or 0
end
return answers"""


def test_the_server_has_the_same_rule(real_store):
    script = lua.compose("probe", PROBE)
    real_store.server.call_one("SCRIPT", "LOAD", script.source)
    rng = random.Random(1)
    served = 0
    for _ in range(400):
        texts = [random_term(rng) for _ in range(rng.randint(1, 4))]
        names = [random_name(rng) for _ in range(50)]
        try:
            subscription = Subscription.parse(",".join(texts))
        except BadName:
            continue
        expected = [int(subscription.serves(name)) for name in names]
        assert real_store.server.call_one(*script.command("p:", subscription.text, *names)) == expected, subscription
        served += sum(expected)
    assert served > 1000, "or the rules would be equal because nothing matches"


def random_name(rng: random.Random) -> str:
    # Characters that mean something in Lua's patterns, and few of them, so that names meet.
    return rng.choice("ab_") + "".join(rng.choice("ab.+-:") for _ in range(rng.randrange(3)))


def random_term(rng: random.Random) -> str:
    term = rng.choice((random_name(rng), random_name(rng) + "*", random_name(rng)[:1] + "*", "*"))
    return rng.choice(("", "", "!")) + term
