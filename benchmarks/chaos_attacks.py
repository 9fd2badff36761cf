"""The attack surface: which test shows that an attack is refused, and whether it does now."""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from chaos_page import Finding
from serving import ROOT

TESTS = ROOT / "tests" / "end_to_end"

ATTACKS = {
    "plaintext to a port of TLS; another authority; an expired certificate of the server": (
        "test_transport.py::test_a_server_shows_a_certificate_that_the_client_checks",
    ),
    "a client's certificate of another authority, or expired, or none": (
        "test_transport.py::test_a_client_shows_a_certificate_that_the_server_checks",
    ),
    "a certificate, or a token, that was withdrawn": (
        "test_attacks.py::test_a_certificate_that_was_withdrawn_is_refused_at_the_next_call",
        "test_exchange_while_serving.py::test_tokens_are_exchanged_while_serving_and_a_broken_file_changes_nothing",
    ),
    "a method of another role": (
        "test_tokens_and_roles.py::test_the_open_inference_protocol_is_behind_the_same_table",
        "test_tokens_and_roles.py::test_an_administrator_is_nobody_who_may_see_images",
        "test_tokens_and_roles.py::test_a_role_that_a_token_has_not_is_said_by_name",
    ),
    "a token past its time, `alg=none`, forged ones": (
        "test_tokens_and_roles.py::test_a_token_that_proves_nothing_is_refused_and_not_logged",
    ),
    "path traversal in names of models": ("test_attacks.py::test_a_name_that_leads_elsewhere_is_no_models_name",),
    "floods of headers": (
        "test_limits_per_caller.py::test_a_flood_of_headers_is_refused_and_others_are_answered",
        "test_limits_per_caller.py::test_headers_without_an_end_hold_no_memory_and_others_are_answered",
    ),
    "rapid resets": ("test_attacks.py::test_streams_that_are_opened_and_reset_at_once_harm_nobody",),
    "too many streams, floods of pings, settings and window updates": (
        "test_attacks.py::test_more_streams_than_a_connection_may_have_are_refused",
        "test_attacks.py::test_who_pings_without_end_is_told_to_calm_down",
        "test_attacks.py::test_a_flood_of_frames_ends_the_connection_or_is_borne_and_others_are_answered",
    ),
}
"""By attack, the tests in `tests/end_to_end/`."""


def attack_surface(seconds: float) -> list[Finding]:  # noqa: ARG001 - they take what they take
    """Run the tests, and say of each attack how many of its cases were refused."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        wanted = [str(TESTS / test) for tests in ATTACKS.values() for test in tests]
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *wanted]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        cases, refused = _counts(report)
    found = []
    for attack, tests in ATTACKS.items():
        names = [test.partition("::")[2] for test in tests]
        all_cases, all_refused = (sum(counts[name] for name in names) for counts in (cases, refused))
        found.append(Finding(attack, "refused", f"{all_refused} of {all_cases} cases", 0 < all_cases == all_refused))
    return found


def _counts(report: Path) -> tuple[Counter[str], Counter[str]]:
    """Cases by test, and those that passed."""
    cases: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        cases[name] += 1
        passed[name] += len(case) == 0
    return cases, passed
