"""The registry is the allow-list: what is not in it is not run, and nothing is ever looked up anywhere else."""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod

import pytest

from minique import Job, UnknownJobClass, UsageError, job
from minique.registry import Registry, default_registry


@pytest.fixture
def registry():
    return Registry()


def test_defining_a_job_class_makes_it_known_by_its_name(registry):
    its_registry = registry

    class Archive(Job):
        registry = its_registry

        def perform(self, n: int) -> None: ...

    @job(registry=registry)
    def send(n: int) -> None: ...

    assert [one.name for one in registry] == ["Archive", "send"]
    assert registry.get("Archive") is Archive.job_class
    assert registry.get("send") is send.job_class
    assert len(registry) == 2


def test_without_a_registry_of_its_own_it_is_known_to_the_one_that_workers_use():
    @job(name="test_registry.plain")
    def plain() -> None: ...

    assert default_registry._classes.pop("test_registry.plain") is plain.job_class


def test_an_unknown_name_is_refused_and_the_known_ones_are_named(registry):
    with pytest.raises(UnknownJobClass, match=r"no job class is called 'os\.system'; known here: none"):
        registry.get("os.system")

    @job(registry=registry)
    def send() -> None: ...

    @job(registry=registry)
    def archive() -> None: ...

    with pytest.raises(UnknownJobClass, match="known here: archive, send"):
        registry.get("sned")


def test_two_job_classes_of_one_name_are_refused_at_once_and_told_apart(registry):
    its_registry = registry

    class Send(Job):
        registry = its_registry
        name = "send"

        def perform(self) -> None: ...

    with pytest.raises(UsageError, match=r"two job classes are called 'send': .*Send in .*test_registry.py and .*mail"):

        @job(name="send", registry=registry)
        def mail() -> None: ...

    assert registry.get("send") is Send.job_class


def test_a_module_that_is_reloaded_replaces_its_own(tmp_path, monkeypatch):
    # Notebooks and development servers do this all the time.
    module = tmp_path / "jobs_that_are_reloaded.py"
    text = (
        "from minique import job, Job\n@job()\ndef reloaded(): return 1\nclass Reloaded(Job):\n  def perform(self): 0\n"
    )
    module.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    first = importlib.import_module("jobs_that_are_reloaded")
    old = default_registry.get("reloaded")
    try:
        importlib.reload(first)
        assert default_registry.get("reloaded") is not old
        assert default_registry.get("Reloaded") is first.Reloaded.job_class
    finally:
        default_registry._classes.pop("reloaded")
        default_registry._classes.pop("Reloaded")
        sys.modules.pop("jobs_that_are_reloaded")


def test_bases_without_perform_and_abstract_ones_are_no_job_classes(registry):
    its_registry = registry

    class Base(Job):
        registry = its_registry
        queue = "reports"

    class Abstract(Base, ABC):
        @abstractmethod
        def perform(self, n: int) -> None: ...

    assert len(registry) == 0
    assert not hasattr(Base, "job_class")

    class Real(Abstract):
        retries = 7

        def perform(self, n: int) -> None: ...

    assert [(one.name, one.queue, one.retries) for one in registry] == [("Real", "reports", 7)]


def test_a_subclass_of_a_job_class_is_a_job_class_of_its_own_name(registry):
    its_registry = registry

    class First(Job):
        registry = its_registry
        name = "the_first"

        def perform(self) -> None: ...

    class Second(First):
        queue = "other"

    assert {one.name: one.queue for one in registry} == {"the_first": "default", "Second": "other"}
