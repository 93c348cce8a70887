"""Probabilities from log probabilities of tokens, by hand: whole words, words cut in the middle, beginnings that two share."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.teachers.llm.parsing import probabilities


def token(text: str, share: float = 1.0, **others: float) -> list[Any]:
    """As the journal keeps a token: itself, its log probability, alternatives (`_` is a space) with itself among them."""
    alternatives = [[text, math.log(share)], *([word.replace("_", " "), math.log(p)] for word, p in others.items())]
    return [text, math.log(share), alternatives]


def present(*tokens: list[Any], text: str | None = None, place: int | None = None) -> float | None:
    """The probability of the one label whose status comes after the first bar."""
    text = text if text is not None else "".join(str(entry[0]) for entry in tokens)
    place = text.index("|") + 2 if place is None else place
    return probabilities(text, tokens, {"Edema": place})["Edema"]


EDEMA = token("Edema |")


def test_whole_words() -> None:
    assert present(EDEMA, token(" present", 0.7, _absent=0.2, _uncertain=0.1)) == pytest.approx(0.7 + 0.1 / 2)
    assert present(EDEMA, token(" absent", 0.5, _present=0.3, _uncertain=0.1, _unmentioned=0.1)) == pytest.approx(0.35)
    assert present(EDEMA, token(" unmentioned", 1.0)) == 0.0
    assert present(EDEMA, token(" uncertain", 1.0)) == pytest.approx(0.5)


def test_over_the_mass_of_the_statuses_only() -> None:
    assert present(EDEMA, token(" present", 0.4, _absent=0.1, _yes=0.3, The=0.2)) == pytest.approx(0.8)
    assert present(EDEMA, token(" present", 0.6, _absent=0.2, _=0.2)) == pytest.approx(0.75), "a space alone begins no status"


def test_the_space_before_a_word_counts_wherever_it_stands() -> None:
    bar, space = token("Edema |"), token("Edema | ")
    assert present(bar, token(" present", 0.6, _absent=0.4)) == pytest.approx(0.6)
    assert present(space, token("present", 0.6, absent=0.4)) == pytest.approx(0.6)
    assert present(token("Edema"), token(" | present", 0.6, **{"_|_absent": 0.4})) == pytest.approx(0.6)
    assert present(bar, token(" present", 0.5, present=0.5)) == 1.0, "without its space it would be another form"


def test_a_beginning_that_two_share_is_followed_where_it_was_chosen() -> None:
    tokens = [EDEMA, token(" un", 0.8, _present=0.15, _absent=0.05), token("certain", 0.25, mentioned=0.75)]
    assert present(*tokens) == pytest.approx(0.15 + 0.8 * 0.25 / 2)
    mentioned = [EDEMA, token(" un", 0.8, _present=0.2), token("mentioned", 0.75, certain=0.25)]
    assert present(*mentioned) == pytest.approx(0.2 + 0.8 * 0.25 / 2)


def test_a_beginning_that_was_not_followed_is_split_evenly_where_little_hangs_on_it() -> None:
    assert present(EDEMA, token(" present", 0.9, _un=0.1)) == pytest.approx(0.9 + 0.1 / 4)
    assert present(EDEMA, token(" present", 0.7, _un=0.3)) is None, "may be off by 0.075"


def test_characters_as_tokens() -> None:
    tokens = [EDEMA, token(" "), token("p", 0.6, a=0.3, u=0.1), *map(token, "resent")]
    assert present(*tokens) == pytest.approx(0.6 + 0.1 / 4)
    unsure = [EDEMA, token(" "), token("u", 0.9, p=0.1), token("n"), token("c", 0.5, m=0.5), *map(token, "ertain")]
    assert present(*unsure) == pytest.approx(0.1 + 0.9 * 0.5 / 2)


def test_pieces_of_different_length_for_one_status_add_up() -> None:
    assert present(EDEMA, token(" pres", 0.5, _present=0.25, _abs=0.25), token("ent")) == pytest.approx(0.75)
    assert present(EDEMA, token(" u", 0.5, _un=0.3, _present=0.2), token("ncertain", 0.5, nmentioned=0.5)) == pytest.approx(0.4)


def test_what_follows_the_word_within_its_token_does_not_matter() -> None:
    text = '{"Edema":{"status":"present","quote":""}}'
    place = text.index("present")
    cut = [token(text[: place - 1]), token('"present","', 0.6, **{'"absent","': 0.4}), token(text[place + 10 :])]
    assert present(*cut, place=place) == pytest.approx(0.6)


def test_a_chosen_token_beside_the_alternatives_counts() -> None:
    rare = [" absent", math.log(0.1), [[" present", math.log(0.6)], [" uncertain", math.log(0.2)]]]
    assert present(EDEMA, rare) == pytest.approx((0.6 + 0.1) / 0.9)


def test_tokens_around_the_message() -> None:
    answer = "Edema | present"
    around = [token("<think>Edema | absent</think>\n"), EDEMA, token(" present", 0.9, _absent=0.1), token("<|end|>")]
    assert present(*around, text=answer) == pytest.approx(0.9)


def test_none_where_it_cannot_be_told() -> None:
    word = token(" present", 0.9, _absent=0.1)
    assert present(token("Edema –"), word, text="Edema | present") is None, "tokens of another text"
    assert probabilities("Edema | present", [], {"Edema": 8}) == {"Edema": None}
    assert probabilities("", [], {"Edema": 0}) == {"Edema": None}
    assert probabilities("Edema |", [EDEMA], {"Edema": 9}) == {"Edema": None}
    assert present(EDEMA, [" present", -math.inf, []]) is None, "no status has any mass"
    assert present(EDEMA, token(" maybe", 0.9)) is None


def test_every_label_by_its_place() -> None:
    tokens = [token("A |"), token(" present", 0.9, _absent=0.1), token("\nB |"), token(" absent", 0.8, _present=0.2)]
    text = "".join(str(entry[0]) for entry in tokens)
    told = probabilities(text, tokens, {"B": text.index("absent"), "A": text.index("present")})
    assert told == {"B": pytest.approx(0.2), "A": pytest.approx(0.9)}


@given(shares=st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4), cuts=st.lists(st.integers(1, 9), max_size=3))
def test_however_the_word_is_cut_the_probability_is_the_same(shares: list[float], cuts: list[int]) -> None:
    """A made-up model with fixed shares of the statuses, whose tokenizer cuts the words at the same places."""
    words = dict(zip(["present", "absent", "uncertain", "unmentioned"], [share / sum(shares) for share in shares], strict=True))
    edges = sorted({0, *cuts, 99})
    chosen, tokens, said = "uncertain", [EDEMA, token(" ")], ""
    for start, end in itertools.pairwise(edges):
        here = {word: share for word, share in words.items() if word.startswith(said) and word[start:end]}
        if not chosen[start:end]:
            break
        pieces: dict[str, float] = {}
        for word, share in here.items():
            pieces[word[start:end]] = pieces.get(word[start:end], 0.0) + share / sum(here.values())
        picked = chosen[start:end]
        tokens.append([picked, math.log(pieces[picked]), [[piece, math.log(share)] for piece, share in pieces.items()]])
        said += picked
    told = present(*tokens)
    assert told == pytest.approx(words["present"] + words["uncertain"] / 2)
