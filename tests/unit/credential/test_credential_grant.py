"""How long an access token counts as good, and what of a grant may be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fastmail_ingest.credential.answer import Denied, refusal
from fastmail_ingest.credential.grant import Grant, is_token, lasts_s
from fastmail_ingest.errors import TokenUnavailable

GRANT = Grant(
    method="google", user="u@example.com", client_id="c", refresh_token="planted-refresh", cache="planted-cache",
    access_token="planted-access", obtained_at=1000.0, expires_at=4600.0,
)  # fmt: skip
TIMES = st.floats(0, 1e10)


def test_a_token_is_replaced_five_minutes_before_its_end() -> None:
    assert GRANT.good(4600.0 - 300.1)
    assert not GRANT.good(4600.0 - 299.9)
    assert GRANT.will_do(4600.0 - 299.9)
    assert not GRANT.will_do(4600.0 - 59.9)


@given(TIMES, st.floats(0.1, 1e5), TIMES)
def test_a_new_token_is_good_however_short_it_lasts_and_none_after_its_end(
    obtained: float, lasts_s: float, later: float
) -> None:
    grant = replace(GRANT, obtained_at=obtained, expires_at=obtained + lasts_s)
    assert grant.good(obtained) == (obtained + lasts_s > obtained)
    if later >= grant.expires_at:
        assert not grant.good(later)
        assert not grant.will_do(later)


def test_no_token_or_a_grant_that_is_gone_is_never_good() -> None:
    for grant in (replace(GRANT, access_token=""), replace(GRANT, revoked="invalid_grant")):
        assert not grant.good(1000.0)
        assert not grant.will_do(1000.0)


def test_nothing_secret_is_in_a_repr() -> None:
    assert "planted" not in f"{GRANT!r} {[GRANT]}"


@given(
    st.one_of(st.none(), st.integers(), st.text(), st.dictionaries(st.text(), st.text())), st.text(min_size=6)
)
def test_an_answer_without_an_error_code_is_for_now(answer: object, secret: str) -> None:
    found = refusal(answer, (secret,))
    assert isinstance(found, TokenUnavailable) or answer["error"]  # type: ignore[index]
    assert str(found).isprintable()


@given(st.text(), st.text(), st.text(alphabet="abcXYZ019-_", min_size=6))
def test_a_refusal_never_quotes_a_secret(before: str, after: str, secret: str) -> None:
    found = refusal({"error": "invalid_grant", "error_description": f"{before}{secret}{after}"}, (secret,))
    assert isinstance(found, Denied)
    assert secret not in str(found)


def test_only_what_a_human_must_mend_is_final() -> None:
    for code in ("invalid_grant", "invalid_client", "unauthorized_client", "access_denied"):
        assert isinstance(refusal({"error": code}, ()), Denied)
    for code in ("server_error", "temporarily_unavailable", "backend", "", "slow_down"):
        assert isinstance(refusal({"error": code}, ()), TokenUnavailable)


def test_what_could_break_out_of_a_login_is_no_token() -> None:
    assert is_token("ya29.a0_B-c~d+e/f==")
    for text in ("", "a b", "a\x01b", "a\r\nb", "\xe9", "a" * 20_000, None, 5):
        assert not is_token(text)


@pytest.mark.parametrize("told", [float("nan"), float("inf"), 10**400, -1, "3600", None, [1]])
def test_a_span_that_no_token_lasts_is_not_believed(told: object) -> None:
    assert lasts_s(told, otherwise=7.0) == 7.0
    assert lasts_s(3599, otherwise=7.0) == 3599
