"""When the keeper asks for a new token, and that nobody asks twice or in vain."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.waiting import wait_until

from fastmail_ingest.credential import keeper as keepers
from fastmail_ingest.credential.answer import Denied
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.credential.keeper import Keeper, Memory, Store
from fastmail_ingest.credential.token_file import TokenFile
from fastmail_ingest.errors import ConfigError, GrantRevoked, LoginRefused, TokenUnavailable

START = 1_000_000.0
SET_UP = Grant(method="fake", user="u", client_id="c", refresh_token="planted-refresh")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class FakeIssuer:
    method = "fake"
    user = "u"

    def __init__(self, clock: Clock, lasts_s: float = 3600.0) -> None:
        self.clock = clock
        self.lasts_s = lasts_s
        self.asked = 0
        self.fails: Exception | None = None

    def renew(self, grant: Grant | None) -> Grant:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        now = self.clock()
        return replace(
            grant or SET_UP, access_token=f"token-{self.asked}", obtained_at=now, expires_at=now + self.lasts_s,
            revoked="",
        )  # fmt: skip

    def remedy(self, code: str) -> str:
        return f"mend {code}"


class Bench:
    def __init__(self, store: Store) -> None:
        self.clock = Clock()
        self.issuer = FakeIssuer(self.clock)
        self.store = store
        self.keeper = Keeper(store, self.issuer, self.clock)

    def another(self) -> Keeper:
        """As in another process."""
        return Keeper(self.store, self.issuer, self.clock)


@pytest.fixture(params=["file", "memory"])
def bench(request, tmp_path: Path) -> Bench:
    made = Bench(TokenFile(str(tmp_path / "t"), "set up") if request.param == "file" else Memory())
    with made.store.locked():
        made.store.write(SET_UP)
    return made


def test_a_token_is_asked_for_once_and_replaced_five_minutes_early(bench) -> None:
    assert [bench.keeper.token(), bench.another().token(), bench.keeper.token()] == ["token-1"] * 3
    bench.clock.now = START + 3600 - 301
    assert bench.keeper.token() == "token-1"
    bench.clock.now = START + 3600 - 299
    assert [bench.keeper.token(), bench.another().token()] == ["token-2"] * 2
    assert bench.issuer.asked == 2


def test_a_refused_token_is_given_to_nobody_again_and_replaced_once(bench) -> None:
    token = bench.keeper.token()
    other = bench.another()
    other.refused(token)
    assert bench.keeper.token() == "token-2"
    bench.keeper.refused(token)  # late: the new one is not to blame
    assert [other.token(), bench.keeper.token()] == ["token-2"] * 2
    assert bench.issuer.asked == 2


def test_many_threads_ask_once(bench) -> None:
    start = threading.Barrier(8)
    got: list[str] = []

    def work() -> None:
        start.wait()
        got.append(bench.another().token())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["token-1"] * 8
    assert bench.issuer.asked == 1


def test_a_grant_that_is_gone_is_asked_for_once_by_all_until_it_is_set_up_again(bench) -> None:
    bench.issuer.fails = Denied("invalid_grant", "invalid_grant: expired or revoked")
    with pytest.raises(GrantRevoked, match=r"invalid_grant: expired or revoked. remedy: mend invalid_grant"):
        bench.keeper.token()
    for keeper in (bench.keeper, bench.another()):
        with pytest.raises(GrantRevoked, match=r"is gone since 1970-01-12 13:46.*remedy: mend invalid_grant"):
            keeper.token()
    assert bench.issuer.asked == 1
    bench.issuer.fails = None
    with bench.store.locked():
        bench.store.write(SET_UP)
    assert bench.keeper.token() == "token-2"


def test_a_human_may_ask_again_though_the_grant_is_gone(bench) -> None:
    bench.issuer.fails = Denied("invalid_grant", "invalid_grant")
    with pytest.raises(GrantRevoked):
        bench.keeper.token()
    bench.issuer.fails = None
    assert bench.keeper.refresh().access_token == "token-2"
    assert bench.keeper.token() == "token-2"


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
def test_what_is_wrong_with_the_client_is_not_remembered_of_the_grant(bench, code) -> None:
    bench.issuer.fails = Denied(code, code)
    for _ in range(2):
        with pytest.raises(LoginRefused, match=f"remedy: mend {code}") as told:
            bench.keeper.token()
        # The endpoint is asked each time, so there must be long waits in between.
        assert not isinstance(told.value, GrantRevoked)
    assert bench.issuer.asked == 2
    bench.issuer.fails = None
    assert bench.keeper.token() == "token-3"


def test_while_the_endpoint_does_not_answer_a_token_is_used_to_its_last_minute(bench) -> None:
    bench.keeper.token()
    bench.issuer.fails = TokenUnavailable("down")
    bench.clock.now = START + 3600 - 61
    assert bench.keeper.token() == "token-1"
    bench.clock.now = START + 3600 - 59
    with pytest.raises(TokenUnavailable, match="down"):
        bench.keeper.token()
    bench.issuer.fails = None
    assert bench.keeper.token() == "token-4"


class Waiting(Memory):
    """Knows how many have come for its lock."""

    def __init__(self) -> None:
        super().__init__()
        self.came = 0

    def locked(self) -> AbstractContextManager[None]:
        self.came += 1
        return super().locked()


@pytest.mark.parametrize("error", [TokenUnavailable("no answer in time"), Denied("invalid_client", "who?")])
def test_whoever_waits_while_another_asks_in_vain_does_not_ask_once_more(error: Exception) -> None:
    store = Waiting()
    bench = Bench(store)
    renew, heard = bench.issuer.renew, []

    def slow(grant: Grant | None) -> Grant:
        wait_until(lambda: store.came >= 5, "all others wait")
        return renew(grant)

    def work() -> None:
        try:
            bench.keeper.token()
        except (TokenUnavailable, LoginRefused) as told:
            heard.append((type(told), str(told)))

    bench.issuer.fails = error
    bench.issuer.renew = slow  # type: ignore[method-assign]
    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.issuer.asked == 1
    assert len(heard) == 5
    assert len(set(heard)) == 1
    bench.issuer.fails = None
    assert bench.keeper.token() == "token-2", "whoever comes later asks anew"


def test_a_thread_that_does_not_let_go_holds_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "LOCK_WAIT_S", 0.01)
    bench = Bench(Memory())
    with bench.store.locked(), ThreadPoolExecutor(1) as pool, pytest.raises(TokenUnavailable):
        pool.submit(bench.keeper.token).result(30)
    assert bench.keeper.token() == "token-1"


def test_to_force_a_new_token_replaces_a_good_one(bench) -> None:
    bench.keeper.token()
    assert bench.keeper.refresh().access_token == "token-2"


def test_tokens_of_another_user_are_not_used(bench) -> None:
    bench.issuer.user = "somebody.else"
    with pytest.raises(GrantRevoked, match=r"the tokens are for u .* the account is somebody.else"):
        bench.keeper.token()
    with pytest.raises(ConfigError, match="the tokens are for u"):
        bench.keeper.refresh()
    assert bench.issuer.asked == 0


def test_an_unsafe_file_concerns_only_its_account(tmp_path) -> None:
    bench = Bench(TokenFile(str(tmp_path / "t"), "set up"))
    token = bench.keeper.token()
    (tmp_path / "t").chmod(0o644)
    with pytest.raises(GrantRevoked, match="chmod 600"):
        bench.keeper.token()
    bench.keeper.refused(token)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.0, 4000.0)),
        st.tuples(st.sampled_from(["token", "refused", "down", "up"]), st.just(0.0)),
    ),
    max_size=40,
)


@given(STEPS, st.floats(1.0, 7200.0))
def test_whatever_happens_a_token_is_good_when_it_is_handed_out_and_none_comes_back(
    steps: list[tuple[str, float]], lasts_s: float
) -> None:
    bench = Bench(Memory())
    bench.issuer.lasts_s = lasts_s
    ends: dict[str, float] = {}
    refused: set[str] = set()
    for what, seconds in steps:
        bench.clock.now += seconds
        if what in {"down", "up"}:
            bench.issuer.fails = TokenUnavailable("down") if what == "down" else None
        if what == "refused" and ends:
            bench.keeper.refused(token := list(ends)[-1])
            refused.add(token)
        if what == "token":
            asked = bench.issuer.asked
            try:
                token = bench.keeper.token()
            except TokenUnavailable:
                assert bench.issuer.fails is not None
                continue
            ends.setdefault(token, bench.clock.now + lasts_s)
            assert bench.clock.now < ends[token]
            assert token not in refused
            assert bench.issuer.asked <= asked + 1
