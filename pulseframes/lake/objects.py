"""Objects of S3, Google Cloud Storage or Azure, by obstore: what is asked of them, and every failure as a ``LakeError``.

obstore is the Rust layer that polars reads with, so one set of options, or of environment variables, serves both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, TypeVar
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

from pulseframes.errors import InvalidQuery, LakeError

Given = TypeVar("Given")
#: What says which version of an object is meant: its ``e_tag``, its ``version``, or both, as the server has them.
Version = dict[str, str]

#: Options of the connection. obstore wants them apart from those of the service, polars takes them among them.
_CLIENT_OPTIONS: Final = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_content_type",
        "http1_only",
        "http2_only",
        "http2_keep_alive_interval",
        "http2_keep_alive_timeout",
        "http2_keep_alive_while_idle",
        "http2_max_frame_size",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_url",
        "proxy_ca_certificate",
        "proxy_excludes",
        "randomize_addresses",
        "read_timeout",
        "timeout",
        "user_agent",
    }
)
#: Options of polars' own, which obstore does not know.
_POLARS_OPTIONS: Final = frozenset(
    {
        "file_cache_ttl",
        "max_retries",
        "retry_timeout_ms",
        "retry_init_backoff_ms",
        "retry_max_backoff_ms",
        "retry_base_multiplier",
        "rate_read_init",
        "rate_read_floor",
        "rate_read_ceiling",
        "rate_write_init",
        "rate_write_floor",
        "rate_write_ceiling",
    }
)
#: A server that does not answer is given up within a minute; a large file that keeps coming is not.
_CLIENT: Final = {"connect_timeout": "5s", "read_timeout": "15s", "timeout": "300s"}
_RETRIES: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=45)}

#: What the text of obstore's exceptions tells, and what to do then. The text itself is never shown: it holds what the
#: server sent, and servers send back what they were sent. The first that fits counts.
_NO_BUCKET: Final = "NoSuchBucket|ContainerNotFound|FilesystemNotFound"
_REASONS: Final = (
    (_NO_BUCKET, "there is no such bucket or container; make it first, or correct the address"),
    ("BadScheme", "the endpoint is plain http; if that is meant, set aws_allow_http (AWS_ALLOW_HTTP) to true"),
    (
        "PermanentRedirect|without LOCATION|AuthorizationHeaderMalformed",
        "the bucket is in another region; set aws_region (AWS_REGION)",
    ),
    ("RequestTimeTooSkewed", "the clock of this machine is wrong; set it"),
    (
        r"169\.254\.|/latest/api/token|metadata\.google|metadata/identity|MissingCredentials|InstanceCredentials",
        "no credentials were found; give them in storage_options or the environment, (S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
    ),
    ("Account must be specified", "no account is given; set azure_storage_account_name (AZURE_STORAGE_ACCOUNT_NAME)"),
    ("kind: Timeout|kind: Interrupted", "the server did not answer in time; try again later"),
    ("kind: Connect", "the server cannot be reached; check the network, the endpoint and the region"),
    (
        "status: 40[13]",
        "the server refuses the credentials, or they do not allow this; they must allow to list, read, write and delete",
    ),
)


class ConditionsUnknown(LakeError):
    """The server cannot write on a condition."""


class Found(NamedTuple):
    """An object as it was read."""

    data: bytes
    version: Version
    modified: datetime


class Objects:
    """The objects below an address.

    Parameters
    ----------
    url : str
        The address, with a bucket or container, and the folder in it.
    options : mapping of str to str
        What polars takes as ``storage_options``.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self.location = checked(url)
        bare = {name: re.sub("^(aws|azure|google)_", "", name.lower()) for name in options}
        given = {bare[name]: value for name, value in options.items() if bare[name] in _CLIENT_OPTIONS}
        left_out = _CLIENT_OPTIONS | _POLARS_OPTIONS
        config: Any = {name: value for name, value in options.items() if bare[name] not in left_out}
        client_options: Any = _CLIENT | _client_options_of_the_environment(url) | given

        def open_store() -> Any:
            return obstore.store.from_url(
                self.location, config=config, client_options=client_options, retry_config=_RETRIES
            )

        self._store = self._explained(open_store)

    def get(self, path: str) -> Found | None:
        """Read an object; None where there is no such one."""

        def read() -> Found:
            answer = obstore.get(self._store, path)
            meta = answer.meta
            return Found(answer.bytes().to_bytes(), _version(meta), meta["last_modified"])

        return self._unless_missing(read)

    def size(self, path: str) -> int | None:
        """Give an object's size; None where there is no such one."""
        return self._unless_missing(lambda: obstore.head(self._store, path)["size"])

    def get_range(self, path: str, start: int, length: int) -> bytes:
        """Read a part of an object."""
        return self._explained(lambda: obstore.get_range(self._store, path, start=start, length=length).to_bytes())

    def put(self, path: str, data: bytes) -> None:
        """Write an object, whole or not at all."""
        self._explained(lambda: obstore.put(self._store, path, data))

    def put_if(self, path: str, data: bytes, condition: Version | Literal["create"]) -> Version | None:
        """Write an object if there is none, or if the one that is there is the version given; None if it is not so.

        An answer that was lost is asked for again, and so None may also mean that it was written by the first try.

        Raises
        ------
        ConditionsUnknown
            If the server cannot do that.
        """

        def write() -> Version | None:
            try:
                return _version(obstore.put(self._store, path, data, mode=condition))  # type: ignore[arg-type]  # a dict
            except (AlreadyExistsError, PreconditionError):
                return None

        return self._unless_missing(write)

    def copy(self, source: str, target: str) -> bool:
        """Have the server copy an object; say whether it was there."""

        def copy() -> bool:
            obstore.copy(self._store, source, target)
            return True

        return self._unless_missing(copy) is not None

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""

        def delete() -> bool:
            obstore.delete(self._store, list(paths))
            return True

        # Google and Azure take one at a time, and the first that is missing ends it.
        if paths and self._unless_missing(delete) is None and len(paths) > 1:
            for path in paths:
                self.delete([path])

    def list(self, folder: str) -> dict[str, int]:
        """Give the size of each object below a folder, by its path."""
        found = self._explained(lambda: obstore.list(self._store, folder or None, chunk_size=1_000).collect())
        return {meta["path"]: meta["size"] for meta in found}

    def _unless_missing(self, work: Callable[[], Given]) -> Given | None:
        def unless_missing() -> Given | None:
            try:
                return work()
            except FileNotFoundError as problem:
                if re.search(_NO_BUCKET, str(problem)):
                    raise
                return None

        return self._explained(unless_missing)

    def _explained(self, work: Callable[[], Given]) -> Given:
        try:
            return work()
        except (BaseError, OSError, ValueError) as problem:
            error = _explain(problem, self.location)
        raise error  # out here, so that the problem is not even its __context__


def checked(url: str) -> str:
    """Give an address as it may be shown, and as polars and obstore take it.

    Raises
    ------
    InvalidQuery
        If it holds more than a bucket and a folder: a password or a token would be shown, and used by neither.
    """
    parts = urlsplit(url)
    names_container = parts.scheme.startswith("abfs")  # abfss://container@account...
    if parts.query or parts.fragment or parts.password is not None or (parts.username and not names_container):
        raise InvalidQuery(
            "A lake's address holds no user name, password, query or token: give them in storage_options, or in the"
            " environment.",
            argument="path",
        )
    if not parts.netloc:
        raise InvalidQuery(f"{url!r} names no bucket or container.", argument="path")
    return url.rstrip("/")


def _client_options_of_the_environment(url: str) -> dict[str, str]:
    """Give what obstore and polars find there themselves, and obstore no more once it is given one such option."""
    prefix = {"s3": "AWS_", "gs": "GOOGLE_"}.get(url[:2].lower(), "AZURE_")
    found = {name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if name in _CLIENT_OPTIONS}


def _version(meta: Any) -> Version:
    # A name whose value is None must be left out: it would be a condition of its own.
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}


def _explain(problem: Exception, location: str) -> Exception:
    text = str(problem)
    if isinstance(problem, UnknownConfigurationKeyError):
        named = re.search(r"Configuration key: '(\w+)'", text)
        name = repr(named[1]) if named else "one"
        return InvalidQuery(f"storage_options: {name} is no option of {location}.", argument="storage_options")
    if isinstance(problem, ValueError) or "Generic Config error" in text:
        return InvalidQuery(
            f"{location}: the address, or an option in storage_options or the environment, has a value that cannot be used.",
            argument="storage_options",
        )
    if isinstance(problem, NotSupportedError) or re.search("status: 501", text):
        return ConditionsUnknown(f"{location}: the server does not know how to do this.")
    if isinstance(problem, (PermissionDeniedError, UnauthenticatedError)):
        text += " status: 403"
    for pattern, reason in _REASONS:
        if re.search(pattern, text):
            return LakeError(f"{location}: {reason}.")
    # A code such as SlowDown or InternalError, and nothing that could be a key.
    code = re.search("<Code>((?:[A-Z][a-z]+){1,5})</Code>", text)
    status = re.search(r"status: (\d{3})", text)
    what = f"answered {status[1]}{f' ({code[1]})' if code else ''}" if status else f"failed ({type(problem).__name__})"
    return LakeError(f"{location}: the server {what}; try again later, and check address and storage_options.")
