"""The client: authenticated calls to the API, each recorded in the journal, counted and retried if it fails."""

from __future__ import annotations

import atexit
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Final, NoReturn, Self
from urllib.parse import urlencode

from pulseframes._arguments import check_callable, check_type
from pulseframes._card import Row, as_html, short_path
from pulseframes._process import ForkedLock, check_process
from pulseframes._secret import Redactor, Secret
from pulseframes.client.answer import Answer
from pulseframes.client.auth import KeyStore, SessionKeyAuth, SessionKeys, secrets_of
from pulseframes.client.credentials import Credentials, in_environment
from pulseframes.client.in_flight import InFlight
from pulseframes.client.journal import JOURNAL_FILE, CallRecord, Journal
from pulseframes.client.quota_rule import Quota
from pulseframes.client.sender import Sender
from pulseframes.client.settings import ENV_HOME, IN_MEMORY, Settings, as_settings
from pulseframes.client.shared_ledger import SharedLedger
from pulseframes.client.turns import ALONE, Turn
from pulseframes.endpoints import DETAIL, Endpoint
from pulseframes.errors import JournalWarning, PulseError, warn

_UNAUTHORIZED: Final = 401


class PulseClient:
    """A connection to the Pulse API for one application, with its journal and quota.

    It authenticates before the first call and whenever its session key has expired; each authentication is one call. Every
    call, answered or not, is recorded in the journal. Safe to share between threads; also a context manager.

    Parameters
    ----------
    credentials : Credentials or None
        Default: ``Credentials.find()``, from the environment or stored by ``pulseframes login``.
    settings : Settings or None
        Default: from the environment.
    clock : callable
        Returns the current time in UTC; for tests.
    sleep : callable
        Waits between two attempts; for tests.

    Attributes
    ----------
    settings, credentials, clock
        As given, or from the environment.
    application : str
        The journal's name for this application: a hash of the address and the API key.

    Raises
    ------
    CredentialsMissing
        If a credential is neither given nor set in the environment nor stored.
    ImportError
        If ``Settings(ledger=...)`` is set and psycopg is not installed: ``pip install 'pulseframes[postgres]'``.

    Examples
    --------
    >>> with pf.PulseClient(settings=pf.Settings(daily_limit=200)) as client:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10", client=client)
    ...     left = client.quota().left
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        settings: Settings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_callable("clock", clock)
        check_callable("sleep", sleep)
        self.settings = as_settings(settings)
        if credentials is None:
            credentials = Credentials.find(self.settings.base_url)
        check_type("credentials", credentials, Credentials, "Credentials, such as Credentials.find()")
        self.credentials = credentials
        self.clock = clock
        self.application = application_hash(self.settings, self.credentials)
        folder = self.settings.folder
        if folder is None and os.environ.get(ENV_HOME, "").strip() == IN_MEMORY:
            warn(JournalWarning, f"{ENV_HOME}={IN_MEMORY} keeps no responses: a second run will pay again.")
        url = self.settings.ledger
        shared = SharedLedger(url, clock=clock) if isinstance(url, Secret) else None
        self._journal = Journal(None if folder is None else folder / JOURNAL_FILE, clock=clock, shared=shared)
        redactor = Redactor(*secrets_of(self.credentials))
        self._sender = Sender(self.settings, self.application, self._journal, redactor, clock=clock, sleep=sleep)
        consumer = (self.credentials.client_id.reveal(), self.credentials.client_secret.reveal())
        store = KeyStore(folder if self.settings.keep_session_key else None, _hashed(self.application, *consumer))
        self._in_flight = InFlight()
        self._keys = SessionKeys(self.credentials, self._sender, store, redactor, clock=clock)

    @property
    def calls_spent(self) -> int:
        """Calls that this client has spent, authentication and failures included.

        Examples
        --------
        >>> with pf.PulseClient() as client:
        ...     client.calls_spent
        0
        """
        return self._sender.calls_spent

    @property
    def journal(self) -> Journal:
        """The journal; its file is opened when it is first used."""
        return self._journal

    def quota(self) -> Quota:
        """Return how many calls are left and when the next one is possible. Costs no calls.

        Only calls recorded in this journal are known: other programs may use the same application's quota.

        Returns
        -------
        Quota
            The limit, calls used and left, and the time of the next call, in UTC.

        Raises
        ------
        JournalError
            If the journal cannot be read.

        Examples
        --------
        >>> with pf.PulseClient() as client:
        ...     client.quota().limit
        10000
        """
        return self._sender.quota()

    def last_calls(self, count: int = 10) -> list[CallRecord]:
        """Return this application's last calls, without their bodies. Costs no calls.

        Parameters
        ----------
        count : int
            Maximum number of calls.

        Returns
        -------
        list of CallRecord
            Newest first: ``id``, ``at`` (UTC), ``endpoint``, ``params`` and ``status``, which is None without an answer.

        Examples
        --------
        >>> with pf.PulseClient() as client:
        ...     endpoints = [call.endpoint for call in client.last_calls(3)]
        """
        return self.journal.last_calls(self.application, count)

    def kept_answer(self, endpoint: Endpoint, params: Mapping[str, str]) -> Answer | None:
        """Return the journal's newest answer to a question, however old; None if there is none. Costs no calls."""
        return self.kept_answers(endpoint, [params])[0]

    def kept_answers(self, endpoint: Endpoint, questions: Sequence[Mapping[str, str]]) -> list[Answer | None]:
        """Return what ``kept_answer()`` does, for each of up to some hundred questions at once."""
        check_process()
        texts = [_query_string(params) for params in questions]
        records = self.journal.newest_answers(self.application, endpoint.name, texts)
        return [record.answer() if (record := records.get(text)) is not None else None for text in texts]

    def answered(self, endpoint: Endpoint, prefix: str = "") -> list[str]:
        """Return the query strings that begin with a prefix and were answered with success. Costs no calls."""
        return list(self.journal.answered(self.application, endpoint.name, prefix))

    def answered_details(self) -> dict[int, int]:
        """Return, for each session whose details the journal has, in whatever state, how often. Costs no calls."""
        questions = self.journal.answered(self.application, DETAIL.name)
        prefix = f"{DETAIL.parameters['session_id']}="
        ids = ((params.removeprefix(prefix), count) for params, count in questions.items())
        return {int(text): count for text, count in ids if text.isdecimal()}

    def call(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str],
        *,
        session_id: int | None = None,
        retry_timeouts: bool = True,
        turn: Turn = ALONE,
        meanwhile: Callable[[], Answer | None] = lambda: None,
    ) -> Answer:
        """Ask the server one question, whatever the journal has.

        Costs one call; one more if a session key must be fetched first or is refused, and one for each retry. Costs none if
        another thread is waiting for the answer to the same question, or has just received it: both get that.

        Parameters
        ----------
        endpoint : Endpoint
            Where to ask.
        params : mapping
            The query string, in the API's names.
        session_id : int or None
            The session asked for, for the error message.
        retry_timeouts : bool
            Whether to retry a call that timed out.
        turn : Turn
            The call's turn among others that are under way.
        meanwhile : callable
            Returns the answer that another thread has received since the caller looked into the journal, if any.

        Raises
        ------
        InvalidQuery, AuthenticationFailed, SessionNotFound, QuotaExhausted, ServerError, MalformedAnswer, JournalError
            As the server's status, or the lack of one, requires; ``call_id`` is the call's number in the journal.

        Examples
        --------
        >>> from pulseframes.endpoints import SEARCH
        >>> with pf.PulseClient() as client:
        ...     client.call(SEARCH, {"dateFrom": "2026-11-09", "dateTo": "2026-11-10", "limit": "1"}).status
        200
        """
        check_process()
        question = (endpoint.name, urlencode(params), retry_timeouts)
        # Looked up by the one thread that sends this question: an answer is in the journal before its call is no longer under way.
        send = partial(self._ask, endpoint, params, retry_timeouts, turn)
        answer = self._in_flight.share(question, lambda: meanwhile() or send())
        if not answer.ok:
            raise self._sender.error(answer, session_id=session_id)
        return answer

    def _ask(self, endpoint: Endpoint, params: Mapping[str, str], retry_timeouts: bool, turn: Turn) -> Answer:
        def send(key: Secret) -> Answer:
            auth = SessionKeyAuth(key)
            return self._sender.send(endpoint, auth, params=params, retry_timeouts=retry_timeouts, turn=turn)

        key = self._keys.current(turn)
        answer = send(key)
        if answer.status == _UNAUTHORIZED:
            turn.retry()  # if it is refused again, no other call pays for that too
            answer = send(self._keys.replacing(key, turn))
        return answer

    @property
    def has_session_key(self) -> bool:
        """Whether the next call needs no authentication, as far as is known."""
        return self._keys.has_key

    def check_credentials(self) -> int:
        """Authenticate, unless a session key is still good.

        Returns
        -------
        int
            The calls spent: 0 or more.

        Raises
        ------
        AuthenticationFailed, QuotaExhausted, ServerError, MalformedAnswer, JournalError
            If that fails.

        Examples
        --------
        >>> with pf.PulseClient() as client:
        ...     calls = client.check_credentials()
        """
        before = self.calls_spent
        self._keys.current()
        return self.calls_spent - before

    def check_connection(self) -> timedelta:
        """Connect to the API's host as a call would, through the same proxy and with the same certificates. Costs no calls.

        Returns
        -------
        timedelta
            How far this machine's clock is ahead of the server's; negative if it is behind.

        Raises
        ------
        ServerError
            If there is no way to the host; the message says why.

        Examples
        --------
        >>> with pf.PulseClient() as client:
        ...     minutes = client.check_connection().total_seconds() / 60
        """
        return self._sender.reach().ahead

    def close(self) -> None:
        """Close the connections and the journal; a later call opens them again.

        Examples
        --------
        >>> client = pf.PulseClient()
        >>> client.close()
        """
        self._sender.close()
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A PulseClient cannot be pickled, because it holds credentials and connections. Make one in each process: PulseClient()."
        )

    def __repr__(self) -> str:
        return f"PulseClient({self.settings.base_url!r}, calls_spent={self.calls_spent})"

    def _repr_html_(self) -> str:
        """Return the calls spent and left, for a notebook. It creates no journal."""
        path = self.journal.path
        rows: list[Row] = [("Calls of this client", f"{self.calls_spent:,}")]
        try:
            if path is None or path.exists():
                quota = self.quota()
                rows.append(("Quota", f"{quota.left:,} of {quota.limit:,} calls left"))
        except PulseError as problem:
            rows.append(("", problem))
        rows.append(("Journal", "in memory" if path is None else short_path(str(path))))
        return as_html(f"PulseClient({self.settings.base_url!r})", rows)


def _query_string(params: Mapping[str, str]) -> str:
    # Of digits, as ids are, urlencode changes nothing, and takes ten times as long.
    plain = all((key + value).isascii() and key.isalpha() and value.isdecimal() for key, value in params.items())
    return "&".join(f"{key}={value}" for key, value in params.items()) if plain else urlencode(params)


def application_hash(settings: Settings, credentials: Credentials) -> str:
    """Return a name for an application at one address that does not reveal its key."""
    return _hashed(settings.base_url, credentials.api_key.reveal())


def _hashed(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


_default: PulseClient | None = None
#: The credentials that the environment had for the default client; it may have found others in the keyring, which is slow.
_default_environment: dict[str, Secret] = {}
_choosing_default = ForkedLock()


def as_client(given: PulseClient | None) -> PulseClient:
    """Return the client that was given, or the default one; raise ``InvalidQuery`` if it is no client."""
    if given is None:
        return default_client()
    check_type("client", given, PulseClient, "a PulseClient, such as PulseClient()")
    return given


def quota(*, client: PulseClient | None = None) -> Quota:
    """Return how many calls are left and when the next one is possible. Costs no calls.

    The same as ``PulseClient.quota()``, without a client of your own.

    Parameters
    ----------
    client : PulseClient or None
        Default: a client of the environment, which is kept for the next call.

    Returns
    -------
    Quota
        The limit, calls used and left, and the time of the next call, in UTC.

    Raises
    ------
    CredentialsMissing
        If a credential is not set.
    JournalError
        If the journal cannot be read.

    Examples
    --------
    >>> if pf.quota().left > 10:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    """
    return as_client(client).quota()


def _has_others(client: PulseClient) -> bool:
    """Return whether the server rejected a client's credentials and others are stored now."""
    rejected = client._sender.rejected  # noqa: SLF001  of this module
    return rejected and Credentials.find(client.settings.base_url) != client.credentials


def default_client() -> PulseClient:
    """Return the client of the environment: the same one, with its session key, until the environment changes.

    Another one, too, if the server rejected the credentials and ``pulseframes login`` has stored others since.

    Raises
    ------
    CredentialsMissing
        If a credential is neither set nor stored.
    """
    global _default, _default_environment  # one client per process, so that notebook cells do not authenticate again
    environment, settings = in_environment(), Settings()
    with _choosing_default:
        if (
            _default is None
            or (_default_environment, _default.settings) != (environment, settings)
            or _has_others(_default)
        ):
            client = PulseClient(settings=settings)
            if _default is not None:
                _default.close()
            _default, _default_environment = client, environment
            atexit.register(_default.close)
        return _default
