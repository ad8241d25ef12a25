"""Passwords, logins and the brake on guessing."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher, extract_parameters
from sqlalchemy import func, select

from crm_core.database import transaction
from crm_core.people import operations, queries
from crm_core.people.models import Company, LoginAttempt, LoginSession, User

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    """Spend no time on the cost of a hash, which is not what these tests are about."""
    monkeypatch.setattr(operations, "HASHER", PasswordHasher(1, 8, 1))


@pytest.fixture
def store(engine):
    """A store with one user who has a password."""
    with transaction(engine) as session:
        session.add(Company(id=1, name="Acme", currency="USD", time_zone="UTC"))
        session.add(User(id="ann", name="Ann", email="Ann@Acme.example", role="rep"))
        session.flush()
        operations.set_password(session, email="ann@acme.example", password=PASSWORD)
    return engine


def log_in(
    engine, *, password=PASSWORD, email="ann@acme.example", at=NOON, address="10.0.0.1", device=None
):
    return operations.log_in(
        engine, email=email, password=password, address=address, recorded_at=at, hours=12,
        device=device,
    )  # fmt: skip


def viewer(engine, login, at):
    with transaction(engine) as session:
        return queries.signed_in(session, token=login.token, as_of=at)


class TestLogIn:
    def test_opens_a_login_that_lasts_its_hours(self, store):
        login = log_in(store, email=" ANN@acme.example ")
        assert viewer(store, login, NOON).id == "ann"
        assert viewer(store, login, NOON + dt.timedelta(hours=11, minutes=59)) is not None
        assert viewer(store, login, NOON + dt.timedelta(hours=12)) is None

    def test_stores_no_secret(self, store):
        login = log_in(store)
        with transaction(store) as session:
            row = session.scalars(select(LoginSession)).one()
            assert row.token_hash == queries.token_hash(login.token)
            assert login.token not in row.token_hash
            assert PASSWORD not in session.get(User, "ann").password_hash
        assert login.token not in repr(login)

    def test_gives_every_login_its_own_secret(self, store):
        assert log_in(store).token != log_in(store).token

    @pytest.mark.parametrize("attempt", [{"password": "wrong"}, {"email": "nobody@acme.example"}])
    def test_refuses_without_saying_which_part_was_wrong(self, store, attempt):
        with pytest.raises(operations.WrongCredentials, match="do not belong together"):
            log_in(store, **attempt)

    def test_refuses_a_user_without_a_password(self, store):
        with transaction(store) as session:
            session.get(User, "ann").password_hash = None
        with pytest.raises(operations.WrongCredentials):
            log_in(store, password="")

    def test_refuses_who_has_left_and_ends_their_logins(self, store):
        login = log_in(store)
        with transaction(store) as session:
            session.get(User, "ann").left_on = NOON.date()
        assert viewer(store, login, NOON) is None
        with pytest.raises(operations.WrongCredentials):
            log_in(store)

    @pytest.mark.parametrize(
        "who", ["known", "unknown", "without a password", "left"], ids=lambda who: who
    )
    def test_does_the_same_work_for_whoever_is_asked_about(self, store, monkeypatch, who):
        operations._unknown_users_hash.cache_clear()  # as in a process that has just started
        work = []

        class Counting(PasswordHasher):
            def hash(self, password):
                work.append("hash")
                return super().hash(password)

            def verify(self, stored, password):
                parameters = extract_parameters(stored)
                work.append((parameters.time_cost, parameters.memory_cost, parameters.parallelism))
                return super().verify(stored, password)

        monkeypatch.setattr(operations, "HASHER", Counting(1, 8, 1))
        with transaction(store) as session:
            ann = session.get(User, "ann")
            ann.password_hash = None if who == "without a password" else ann.password_hash
            ann.left_on = NOON.date() if who == "left" else None
        email = "nobody@acme.example" if who == "unknown" else "ann@acme.example"
        with pytest.raises(operations.WrongCredentials):
            log_in(store, email=email, password="wrong")
        assert work == ["hash", (1, 8, 1)]
        work.clear()
        with pytest.raises(operations.WrongCredentials):
            log_in(store, email=email, password="wrong")
        assert work == [(1, 8, 1)]


class TestTheBrake:
    def test_stops_after_ten_failures_and_lets_go_after_fifteen_minutes(self, store):
        for minute in range(10):
            with pytest.raises(operations.WrongCredentials):
                log_in(store, password="wrong", at=NOON + dt.timedelta(seconds=minute))
        with pytest.raises(operations.TooManyAttempts) as stopped:
            log_in(store, at=NOON + dt.timedelta(minutes=1))
        assert stopped.value.retry_after == 14 * 60
        assert log_in(store, at=NOON + dt.timedelta(minutes=15)).user_id == "ann"

    def test_does_not_lock_the_owner_out_at_another_address(self, store):
        for _ in range(10):
            with pytest.raises(operations.WrongCredentials):
                log_in(store, password="wrong", address="10.6.6.6")
        assert log_in(store).user_id == "ann"

    def test_forgets_failures_after_a_success(self, store):
        with pytest.raises(operations.WrongCredentials):
            log_in(store, password="wrong")
        log_in(store)
        with transaction(store) as session:
            assert session.scalar(select(func.count()).select_from(LoginAttempt)) == 0

    def test_counts_one_address_over_all_accounts(self, store, monkeypatch):
        monkeypatch.setattr(operations, "FAILURES_ALLOWED_PER_ADDRESS", 3)
        for name in ("one", "two", "three"):
            with pytest.raises(operations.WrongCredentials):
                log_in(store, email=f"{name}@acme.example")
        with pytest.raises(operations.TooManyAttempts):
            log_in(store)

    def spray(self, store, *, guesses):
        """Guess ann's password, each time from another address."""
        for number in range(guesses):
            with pytest.raises(operations.WrongCredentials):
                log_in(store, password="wrong", address=f"10.9.{number // 250}.{number % 250}")

    def test_counts_one_account_over_all_addresses(self, store, monkeypatch):
        monkeypatch.setattr(operations, "FAILURES_ALLOWED_PER_EMAIL", 20)
        self.spray(store, guesses=20)
        with pytest.raises(operations.TooManyAttempts) as stopped:
            log_in(store, password="wrong", address="10.7.7.7")
        assert stopped.value.retry_after == 15 * 60
        assert log_in(store, at=NOON + dt.timedelta(minutes=15)).user_id == "ann"

    def test_lets_the_owner_in_from_a_browser_that_is_known(self, store, monkeypatch):
        monkeypatch.setattr(operations, "FAILURES_ALLOWED_PER_EMAIL", 20)
        known = log_in(store).device
        self.spray(store, guesses=20)
        for stranger in (None, "", "invented", known[:-1]):
            with pytest.raises(operations.TooManyAttempts):
                log_in(store, device=stranger)
        assert log_in(store, device=known, address="10.1.2.3").user_id == "ann"

    def test_a_known_browser_may_not_guess_more_than_others(self, store):
        known = log_in(store).device
        for _ in range(10):
            with pytest.raises(operations.WrongCredentials):
                log_in(store, password="wrong", device=known)
        with pytest.raises(operations.TooManyAttempts):
            log_in(store, device=known)

    def test_a_new_password_ends_what_browsers_are_known_by(self, store, monkeypatch):
        monkeypatch.setattr(operations, "FAILURES_ALLOWED_PER_EMAIL", 1)
        known = log_in(store).device
        with transaction(store) as session:
            operations.set_password(session, email="ann@acme.example", password="another one")
        self.spray(store, guesses=1)
        with pytest.raises(operations.TooManyAttempts):
            log_in(store, password="another one", device=known)

    def test_leaves_no_room_for_a_burst(self, store):
        def attempt(_):
            try:
                log_in(store, password="wrong")
            except (operations.WrongCredentials, operations.TooManyAttempts) as error:
                return type(error).__name__

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(attempt, range(30)))
        assert outcomes.count("WrongCredentials") == 10


class TestSetPassword:
    def test_ends_every_login(self, store):
        login = log_in(store)
        with transaction(store) as session:
            operations.set_password(session, email="ann@acme.example", password="another one")
        assert viewer(store, login, NOON) is None

    @pytest.mark.parametrize("password", ["short", "x" * 257])
    def test_refuses_an_unfit_password(self, store, password):
        with (
            pytest.raises(operations.UnfitPassword, match="8 to 256"),
            transaction(store) as session,
        ):
            operations.set_password(session, email="ann@acme.example", password=password)

    def test_names_the_unknown_user(self, store):
        with pytest.raises(operations.NoSuchUser, match="bob@"), transaction(store) as session:
            operations.set_password(session, email="bob@acme.example", password=PASSWORD)


class TestLogOut:
    def test_ends_this_login_only(self, store):
        here, there = log_in(store), log_in(store)
        with transaction(store) as session:
            operations.log_out(session, token=here.token)
        assert viewer(store, here, NOON) is None
        assert viewer(store, there, NOON) is not None
