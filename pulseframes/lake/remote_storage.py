"""A lake in a bucket of S3, Google Cloud Storage or Azure, by obstore; each failure becomes a ``LakeError``.

obstore is the Rust layer that polars reads with, so both take the same options and environment variables.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from pulseframes._arguments import check_type, shown
from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.lake.lease import LOCK_FILE, LOCK_SECONDS, ConditionsUnknown, Lease, StoredObject, Version

Result = TypeVar("Result")

#: Options of the connection, which obstore takes apart from those of the service, and polars among them.
_CLIENT_OPTION: Final = re.compile(
    "allow_http|allow_invalid_certificates|connect_timeout|default_content_type|http1_only|http2_[a-z_]+|pool_[a-z_]+"
    "|proxy_[a-z_]+|randomize_addresses|read_timeout|timeout|user_agent"
)
#: Options that only polars knows.
_POLARS_OPTION: Final = re.compile("file_cache_ttl|max_retries|(retry|rate)_[a-z_]+")
#: A server that does not answer is given up within a minute; a large file that keeps coming is not.
_CLIENT: Final = {"connect_timeout": "5s", "read_timeout": "15s", "timeout": "300s"}
_RETRIES: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=45)}

#: What a pattern in the text of obstore's exceptions means, and what to do; the first that matches counts. The text itself is
#: never shown: it holds what the server sent, and servers send back what they were sent.
_NO_BUCKET: Final = "NoSuchBucket|ContainerNotFound|FilesystemNotFound"
_REASONS: Final = (
    (_NO_BUCKET, "there is no such bucket or container. Create it first, or correct the address"),
    ("BadScheme", "the endpoint is plain http. If that is intended, set aws_allow_http (AWS_ALLOW_HTTP) to true"),
    (
        "PermanentRedirect|without LOCATION|AuthorizationHeaderMalformed",
        "the bucket is in another region. Set aws_region (AWS_REGION)",
    ),
    ("RequestTimeTooSkewed", "the clock of this machine is wrong. Set it"),
    (
        r"169\.254\.|/latest/api/token|metadata\.google|metadata/identity|MissingCredentials|InstanceCredentials",
        "no credentials were found. Pass storage_options, or set the environment (S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
    ),
    ("Account must be specified", "no account is given. Set azure_storage_account_name (AZURE_STORAGE_ACCOUNT_NAME)"),
    ("kind: Timeout|kind: Interrupted", "the server did not answer in time. Try again later"),
    ("kind: Connect", "cannot reach the server. Check the network, the endpoint and the region"),
    (
        "status: 40[13]",
        "the server rejects the credentials, or they lack a permission. They must allow to list, read, write and delete",
    ),
)


class ObjectStore:
    """A folder of a bucket.

    Nothing is sent before the first file is read or written.

    Raises
    ------
    InvalidQuery
        If the address holds a password, or the service does not know an option.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.location = _checked(url)
        self._options = _strings({} if storage_options is None else storage_options)
        bare = {name: re.sub("^(aws|azure|google)_", "", name.lower()) for name in self._options}
        client = {bare[name]: value for name, value in self._options.items() if _CLIENT_OPTION.fullmatch(bare[name])}
        client_options: Any = _CLIENT | _client_options_of_the_environment(url) | client
        config: Any = {
            name: value
            for name, value in self._options.items()
            if bare[name] not in client and not _POLARS_OPTION.fullmatch(bare[name])
        }

        def connect() -> Any:
            return obstore.store.from_url(
                self.location, config=config, client_options=client_options, retry_config=_RETRIES
            )

        self._store = self._explained(connect)
        self._lease = Lease(self, LOCK_FILE, clock=clock, sleep=sleep)
        self._one_thread = threading.Lock()

    def __repr__(self) -> str:
        return f"ObjectStore({self.location!r})"

    @property
    def storage_options(self) -> dict[str, str] | None:
        """The options as polars takes them; None if all are in the environment."""
        return dict(self._options) or None

    def names(self) -> list[str]:
        """Return the names of the files and folders at the top."""
        return sorted({path.partition("/")[0] for path in self.list("")})

    def list(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, sorted."""
        return sorted(self.versions(folder))

    def versions(self, folder: str) -> dict[str, str]:
        """Return the paths of all files below a folder, each with its entity tag; no file is read."""
        metas = self._explained(lambda: obstore.list(self._store, folder or None, chunk_size=1_000).collect())
        return {meta["path"]: _tag(meta) for meta in metas if meta["size"]}  # an empty object marks a folder

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """Return a file's bytes and their entity tag, or None if there is no such file."""
        stored = self.get(path)
        return None if stored is None else (stored.data, _tag(stored.version))

    def get(self, path: str) -> StoredObject | None:
        """Return an object, or None if there is none."""

        def get() -> StoredObject:
            response = obstore.get(self._store, path)
            meta = response.meta
            return StoredObject(response.bytes().to_bytes(), _version(meta), meta["last_modified"])

        return self._unless_missing(get)

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None if there is no such file."""
        stored = self.get(path)
        return None if stored is None else stored.data

    def check_own(self, path: str) -> None:
        """Do nothing: a bucket has no links."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file, which the server shows once it has all of it."""
        self._explained(lambda: obstore.put(self._store, path, data))

    def put_if(self, path: str, data: bytes, condition: Version | Literal["create"]) -> Version | None:
        """Write an object if there is none, or if it is still of the version given; return None otherwise.

        A request whose response was lost is sent again, so None may also mean that the first try has written it.

        Raises
        ------
        ConditionsUnknown
            If the server cannot do that.
        """

        def put() -> Version | None:
            try:
                return _version(obstore.put(self._store, path, data, mode=condition))  # type: ignore[arg-type]  # a dict
            except (AlreadyExistsError, PreconditionError):
                return None

        return self._unless_missing(put)

    def move(self, source: str, target: str) -> None:
        """Copy a file within the server, then delete the source, since no server can rename."""

        def copy() -> bool:
            obstore.copy(self._store, source, target)
            return True

        if self._unless_missing(copy):
            self.delete([source])

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; a missing one is ignored."""

        def delete() -> bool:
            obstore.delete(self._store, list(paths))
            return True

        # Google and Azure delete one at a time, and stop at the first that is missing.
        if paths and not self._unless_missing(delete) and len(paths) > 1:
            for path in paths:
                self.delete([path])

    @contextmanager
    def locked(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold a lease, which expires after 15 minutes unless ``keep_lock()`` is called now and then."""
        started = time.monotonic()
        if not self._one_thread.acquire(timeout=wait):
            raise LakeError(
                f"Another thread has been writing to the lake {self.location} for over {wait:g} s. Try again later."
            )
        try:
            self._lease.acquire(max(0.0, wait - (time.monotonic() - started)))
            try:
                yield
            finally:
                with suppress(LakeError):  # what was written is written; the lease expires by itself
                    self._lease.release()
        finally:
            self._one_thread.release()

    def keep_lock(self) -> None:
        """Renew the lease when a third of it is gone.

        Raises
        ------
        LakeError
            If it expired, and another writer took over.
        """
        self._lease.renew()

    def _unless_missing(self, work: Callable[[], Result]) -> Result | None:
        def unless_missing() -> Result | None:
            try:
                return work()
            except FileNotFoundError as problem:
                if re.search(_NO_BUCKET, str(problem)):
                    raise
                return None

        return self._explained(unless_missing)

    def _explained(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except (BaseError, OSError, ValueError) as problem:
            error = _explain(problem, self.location)
        raise error  # out here, so that the problem is not even its __context__


def _checked(url: str) -> str:
    """Return an address without a slash at its end; refuse one with a secret, which would be shown and not be used."""
    parts = urlsplit(url)
    names_container = parts.scheme.startswith("abfs")  # abfss://container@account...
    if parts.query or parts.fragment or parts.password is not None or (parts.username and not names_container):
        raise InvalidQuery(
            "path: a lake's address must not hold a user name, password, query or token. Pass them in storage_options, or"
            " set them in the environment.",
            argument="path",
        )
    if not parts.netloc:
        raise InvalidQuery(
            f"path: {url!r} has no bucket or container. A valid address is s3://bucket/folder.", argument="path"
        )
    if "%" in url:  # obstore would decode it, and polars would not
        raise InvalidQuery(
            f"path: {url!r} has a %. Write the letters as they are, such as a space for %20.", argument="path"
        )
    return url.rstrip("/")


def _strings(options: Mapping[str, str]) -> dict[str, str]:
    """Return options; raise ``InvalidQuery``, without the value, which may be a secret, if one is no string."""
    check_type("storage_options", options, Mapping, "a mapping, such as {'aws_region': 'eu-west-1'}")
    for name, value in options.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise InvalidQuery(
                f"storage_options: {shown(name)} and its value must be strings, such as {{'aws_allow_http': 'true'}}; the value is "
                f"of type {type(value).__name__}.",
                argument="storage_options",
            )
    return dict(options)


def _client_options_of_the_environment(url: str) -> dict[str, str]:
    """Return the connection's options in the environment, which obstore ignores once one is given."""
    prefix = {"s3": "AWS_", "gs": "GOOGLE_"}.get(url[:2].lower(), "AZURE_")
    options = {
        name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)
    }
    return {name: value for name, value in options.items() if _CLIENT_OPTION.fullmatch(name)}


def _version(meta: Any) -> Version:
    # A name whose value is None must be omitted: it would be a condition of its own.
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}


def _tag(meta: Any) -> str:
    """Return the entity tag; of a server that has none, a text that equals no other."""
    return str(meta.get("e_tag") or secrets.token_hex())


def _explain(problem: Exception, location: str) -> Exception:
    text = str(problem)
    if isinstance(problem, UnknownConfigurationKeyError):
        named = re.search(r"Configuration key: '(\w+)'", text)
        option = repr(named[1]) if named else "one"
        return InvalidQuery(
            f"storage_options: {option} is not a valid option of {location}.", argument="storage_options"
        )
    if isinstance(problem, ValueError) or "Generic Config error" in text:
        return InvalidQuery(
            f"{location}: the address, or an option in storage_options or the environment, has an invalid value.",
            argument="storage_options",
        )
    if isinstance(problem, NotSupportedError) or re.search("status: 501", text):
        return ConditionsUnknown(f"{location}: the server does not support this request.")
    if isinstance(problem, (PermissionDeniedError, UnauthenticatedError)):
        text += " status: 403"
    for pattern, reason in _REASONS:
        if re.search(pattern, text):
            return LakeError(f"{location}: {reason}.")
    # A code such as SlowDown or InternalError, and nothing that could be a key.
    code = re.search("<Code>((?:[A-Z][a-z]+){1,5})</Code>", text)
    status = re.search(r"status: (\d{3})", text)
    what = f"answered {status[1]}{f' ({code[1]})' if code else ''}" if status else f"failed ({type(problem).__name__})"
    return LakeError(f"{location}: the server {what}. Try again later, and check the address and storage_options.")
