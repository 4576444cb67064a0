"""Counting: equal outcomes are one row, what is known is bounded, days and domains go separately."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.clients.tlsrpt import TlsOutcome
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.tlsrpt import counts as counts_module
from pillarbox.tlsrpt.counts import DETAILS_LIMIT, POLICIES_LIMIT, TEXT_LIMIT, Counts
from pillarbox.tlsrpt.service import Recorder

FAR = "far.test"
GOOD = TlsOutcome(FAR, "sts", ("version: STSv1",), ("mx.far.test",))
BAD = TlsOutcome(FAR, "sts", ("version: STSv1",), ("mx.far.test",), "certificate-expired", receiving_mx="mx.far.test")


def test_equal_outcomes_are_counted_together(tmp_path: Path) -> None:
    counts = Counts(str(tmp_path))
    counts.add(1, [(GOOD, 2), (BAD, 3)])
    counts.add(1, [(GOOD, 1), (BAD, 1), (TlsOutcome(FAR, "no-policy-found"), 5)])
    counts.close()
    one, other = Counts(str(tmp_path)).policies(1, FAR)
    assert (one.type, one.string, one.mx, one.success, one.failure) == ("sts", GOOD.policy_string, GOOD.mx_host, 3, 4)
    assert one.details == ((BAD.detail, 4),)
    assert (other.type, other.success, other.failure, other.details) == ("no-policy-found", 5, 0, ())


def test_days_and_domains_are_apart(tmp_path: Path) -> None:
    counts = Counts(str(tmp_path))
    for day, domain in ((2, "b.test"), (1, "b.test"), (1, "a.test"), (1, "c.test")):
        counts.add(day, [(TlsOutcome(domain, "tlsa", failure="tlsa-invalid"), 1)])
    assert counts.days() == [1, 2]
    assert counts.domains(1, "", 2) == ["a.test", "b.test"]
    assert counts.domains(1, "b.test", 2) == ["c.test"]
    counts.forget(1, "b.test")
    assert counts.policies(1, "b.test") == () and counts.policies(2, "b.test")
    counts.forget_before(2)
    assert counts.days() == [2]
    assert counts._file.rows("SELECT count(*) FROM detail") == [(1,)]


def test_what_strangers_can_vary_is_bounded(tmp_path: Path) -> None:
    counts = Counts(str(tmp_path))
    counts.add(1, [(TlsOutcome(FAR, "tlsa", (str(number),)), 1) for number in range(POLICIES_LIMIT + 5)])
    assert len(counts.policies(1, FAR)) == POLICIES_LIMIT
    outcomes = [(TlsOutcome(FAR, "sts", failure="validation-failure", details=str(n)), 1) for n in range(200)]
    counts.add(2, outcomes)
    (policy,) = counts.policies(2, FAR)
    assert (len(policy.details), policy.failure) == (DETAILS_LIMIT, 200), "the sum counts all"
    counts.add(3, [(TlsOutcome(FAR, "sts", ("x" * 1000,) * 100, ("y" * 100,) * 100), 1)])
    (policy,) = counts.policies(3, FAR)
    assert sum(map(len, policy.string + policy.mx)) < TEXT_LIMIT


def test_a_full_file_counts_on_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts(str(tmp_path))
    counts.add(1, [(GOOD, 1), (BAD, 1)])
    monkeypatch.setattr(counts_module, "SIZE_LIMIT", 1)
    other = TlsOutcome(FAR, "sts", BAD.policy_string, BAD.mx_host, "validation-failure")
    counts.add(1, [(GOOD, 1), (BAD, 1), (other, 1), (TlsOutcome("new.test", "sts"), 1)])
    assert counts.domains(1, "", 9) == [FAR]
    (policy,) = counts.policies(1, FAR)
    assert (policy.success, policy.failure, policy.details) == (2, 3, ((BAD.detail, 2),))


class TestRecorder:
    def take(self, directory: Path, *outcomes: dict[str, object]) -> Counts:
        counts = Counts(str(directory))
        Recorder(counts, lambda: 3 * 86400.0 + 5).take(Attributes({"do": "record", "outcomes": list(outcomes)}))
        return counts

    def test_what_the_client_sends_is_taken(self, tmp_path: Path) -> None:
        counts = self.take(tmp_path, GOOD.members(2), BAD.members(1))
        (policy,) = counts.policies(3, FAR)
        assert (policy.success, policy.failure, policy.details) == (2, 1, ((BAD.detail, 1),))

    @pytest.mark.parametrize(
        "change",
        [
            {"domain": ""},
            {"domain": "\u00e4.test"},
            {"domain": "x" * 256},
            {"type": "other"},
            {"count": 0},
            {"count": True},
            {"detail": ["certificate-expired"]},
            {"detail": ["nonsense", "", "", "", "", ""]},
            {"string": "text"},
            {"mx": [5]},
        ],
    )
    def test_what_no_program_of_ours_sends_is_refused(self, tmp_path: Path, change: dict[str, object]) -> None:
        with pytest.raises(ProtocolError):
            self.take(tmp_path, GOOD.members(1), {**BAD.members(1), **change})
        assert Counts(str(tmp_path)).days() == [], "all or none"

    def test_another_request_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ProtocolError):
            Recorder(Counts(str(tmp_path)), lambda: 0.0).take(Attributes({"do": "other"}))
