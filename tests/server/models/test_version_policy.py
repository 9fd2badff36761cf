"""Which versions a policy chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.models.version_policy import VersionPolicies, VersionPolicy

VERSIONS = st.sets(st.integers(1, 10**9 - 1))


@given(VERSIONS, st.integers(1, 9))
def test_the_latest_are_the_numerically_highest(versions: set[int], count: int) -> None:
    chosen = VersionPolicies.parse(f"latest:{count}").of("chest").chosen(versions)
    assert chosen == sorted(chosen)
    assert len(chosen) == min(count, len(versions))
    assert all(other <= chosen[0] for other in versions - set(chosen))


@given(VERSIONS, st.sets(st.integers(1, 10**9 - 1), min_size=1))
def test_specific_ones_are_those_that_are_there(versions: set[int], wanted: set[int]) -> None:
    policy = VersionPolicies.parse("specific:" + ",".join(map(str, wanted))).of("chest")
    assert policy.chosen(versions) == sorted(versions & wanted)
    assert VersionPolicies.parse("all").of("chest").chosen(versions) == sorted(versions)


def test_a_name_may_have_a_policy_of_its_own() -> None:
    policies = VersionPolicies.parse("latest:2; chest=specific:4,5; brain-lgg=all")
    assert policies.of("pneumonia") == VersionPolicy(latest=2)
    assert policies.of("chest") == VersionPolicy(specific=frozenset({4, 5}))
    assert policies.of("brain-lgg") == VersionPolicy()
    assert VersionPolicies.parse("chest=latest").of("brain-lgg") == VersionPolicy(), "all, where nothing is said"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "newest",
        "latest:0",
        "latest:-1",
        "latest:two",
        "specific",
        "specific:",
        "specific:1,x",
        "all;latest",
        "all;Chest=all",
        "all;../chest=all",
        "chest=all;chest=latest",
        "chest=",
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        VersionPolicies.parse(text)
