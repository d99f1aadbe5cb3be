from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.crossfit import crossfit, halves
from tests.refusals import refused

IDS = [f"image{k}" for k in range(30)]
TYPES = {name: ("astro", "cort", "cort")[k % 3] for k, name in enumerate(IDS)}
PAIRS = {name: f"field{k // 2}" for k, name in enumerate(IDS)}


def test_halves_share_every_type_and_keep_to_the_order_given() -> None:
    first, second = halves(IDS, TYPES, {})
    assert sorted(first + second) == sorted(IDS)
    assert Counter(TYPES[name] for name in first) == {"astro": 5, "cort": 10}
    assert list(first) == [name for name in IDS if name in first]


def test_the_order_of_the_images_does_not_matter_but_the_seed_does() -> None:
    assert set(halves(IDS[::-1], TYPES, PAIRS)[0]) == set(halves(IDS, TYPES, PAIRS)[0])
    assert set(halves(IDS, TYPES, PAIRS, seed=1)[0]) != set(halves(IDS, TYPES, PAIRS)[0])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", None])), min_size=2),
    st.integers(0, 9),
)
def test_groups_stay_whole(images: list[tuple[int, str | None]], seed: int) -> None:
    ids = [f"i{k}" for k in range(len(images))]
    groups = {name: f"g{group}" for name, (group, _) in zip(ids, images, strict=True)}
    types = {name: kind for name, (_, kind) in zip(ids, images, strict=True)}
    if len(set(groups.values())) < 2:
        with refused(InputError, found=len(set(groups.values())), expected=2):
            halves(ids, types, groups, seed=seed)
        return
    first, second = halves(ids, types, groups, seed=seed)
    assert first
    assert second
    assert sorted(first + second) == sorted(ids)
    assert not {groups[name] for name in first} & {groups[name] for name in second}


def test_each_image_is_scored_with_settings_tuned_without_it() -> None:
    calls: list[tuple[str, ...]] = []

    def tune(ids: tuple[str, ...]) -> set[str]:
        calls.append(ids)
        return {PAIRS[name] for name in ids}

    def score(seen: set[str], ids: tuple[str, ...]) -> dict[str, float]:
        return {name: float(PAIRS[name] in seen) for name in ids}

    scores = crossfit(IDS, TYPES, PAIRS, tune, score)
    assert list(scores) == IDS
    assert set(scores.values()) == {0.0}
    assert len(calls) == 2
    assert sorted(calls[0] + calls[1]) == sorted(IDS)


def test_scores_of_the_wrong_images_are_refused() -> None:
    with pytest.raises(ValueError, match="scores of 15 images were expected, got 30"):
        crossfit(IDS, TYPES, {}, lambda ids: None, lambda tuned, ids: dict.fromkeys(IDS, 1.0))
