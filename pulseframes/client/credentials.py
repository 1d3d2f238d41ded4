"""Credentials: from arguments, else from the environment, else from where ``pulseframes login`` stored them."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

import platformdirs

from pulseframes._secret import Secret
from pulseframes.client.database import make_private
from pulseframes.client.settings import ENV_BASE_URL, base_url_of_environment, checked_base_url
from pulseframes.errors import CredentialsMissing, PulseWarning, warn

ENV_API_KEY: Final = "PULSEFRAMES_API_KEY"
ENV_CLIENT_ID: Final = "PULSEFRAMES_CLIENT_ID"
ENV_CLIENT_SECRET: Final = "PULSEFRAMES_CLIENT_SECRET"  # noqa: S105  the variable's name, not a secret

#: The variable of each credential, in the order of ``Credentials``.
VARIABLES: Final = {"api_key": ENV_API_KEY, "client_id": ENV_CLIENT_ID, "client_secret": ENV_CLIENT_SECRET}
#: What messages call the places of credentials; that of the file is its path.
ENVIRONMENT: Final = "the environment"
KEYRING: Final = "the keyring"
#: The one entry of the keyring, because some systems ask the user for each.
_SERVICE: Final = "pulseframes"
_ENTRY: Final = "credentials"

_WHERE_TO_FIND: Final = (
    "In Raygun, the API key is in the application's settings; client ID and secret are those of a consumer application "
    "(plan settings, Consumers tab)."
)


@dataclass(frozen=True, init=False)
class Credentials:
    """API key, and a consumer's client ID and secret. Their ``repr`` shows none of them.

    Parameters
    ----------
    api_key : str
        The application's API key, from the application's settings in Raygun.
    client_id, client_secret : str
        From the Consumers tab of the plan's settings in Raygun.

    Raises
    ------
    CredentialsMissing
        If one of them is empty or has a character that an HTTP header cannot carry.

    Examples
    --------
    >>> pf.Credentials(api_key="...", client_id="...", client_secret="...")
    Credentials(api_key=Secret('***'), client_id=Secret('***'), client_secret=Secret('***'))
    """

    api_key: Secret
    client_id: Secret
    client_secret: Secret

    def __init__(self, api_key: str, client_id: str, client_secret: str) -> None:
        # Wrapped at once, because tools show the locals of the frames of a traceback.
        given = {"api_key": Secret(api_key), "client_id": Secret(client_id), "client_secret": Secret(client_secret)}
        del api_key, client_id, client_secret
        for name, secret in given.items():
            object.__setattr__(self, name, secret)
        for name, secret in given.items():
            problem = problem_of(secret.reveal())
            if problem:
                raise CredentialsMissing(f"{name} {problem}. {_WHERE_TO_FIND}")
            # White space copied along from a web page is never part of a key.
            object.__setattr__(self, name, Secret(secret.reveal().strip()))

    @classmethod
    def from_env(cls) -> Credentials:
        """Read ``PULSEFRAMES_API_KEY``, ``PULSEFRAMES_CLIENT_ID`` and ``PULSEFRAMES_CLIENT_SECRET``.

        Raises
        ------
        CredentialsMissing
            With the name of each variable that is not set.

        Examples
        --------
        >>> credentials = pf.Credentials.from_env()
        """
        return cls._of(in_environment())

    @classmethod
    def find(cls, base_url: str | None = None) -> Credentials:
        """Read the variables, and for those that are not set what ``pulseframes login`` stored: in its file, else in the keyring.

        Parameters
        ----------
        base_url : str or None
            The API's address; default: ``PULSEFRAMES_BASE_URL``. What was stored for another one is not used.

        Raises
        ------
        CredentialsMissing
            With the name of each variable that is neither set nor stored; or if the keyring is locked, or the file is damaged,
            or others can read it.
        InvalidQuery
            If the address is invalid and what was stored is needed.

        Examples
        --------
        >>> credentials = pf.Credentials.find()
        """
        return cls._of({name: found.secret for name, found in find_credentials(base_url).items()})

    @classmethod
    def _of(cls, found: Mapping[str, Secret]) -> Credentials:
        if len(found) < len(VARIABLES):
            raise CredentialsMissing(
                f"{_not_set(found)} Store them with `pulseframes login`, or set them in the environment. {_WHERE_TO_FIND}"
            )
        return cls(*(found[name].reveal() for name in VARIABLES))


def in_environment() -> dict[str, Secret]:
    """Return the credentials that the environment sets."""
    values = {name: os.environ.get(variable, "").strip() for name, variable in VARIABLES.items()}
    return {name: Secret(value) for name, value in values.items() if value}


class Found(NamedTuple):
    """A credential, and where it was found."""

    secret: Secret
    place: str


def find_credentials(base_url: str | None = None) -> dict[str, Found]:
    """Return those credentials that are set or stored: the environment wins over the file, and that over the keyring.

    The file wins because ``login`` may have written it where the keyring, with an older entry, was not within reach.

    Raises
    ------
    CredentialsMissing
        If what is stored is needed and is for another address, damaged, in a locked keyring, or in a file that others can read.
    InvalidQuery
        If what is stored is needed and the address is invalid.
    """
    found = {name: Found(secret, ENVIRONMENT) for name, secret in in_environment().items()}
    if len(found) == len(VARIABLES):
        return found
    try:
        place, document = _stored()
    except _KeyringFailed as problem:
        raise CredentialsMissing(
            f"{_not_set(found)} {problem}, so what `pulseframes login` stored there cannot be read. Unlock it, or set the variables."
        ) from None
    if document is None:
        return found
    parsed = _parsed(document)
    if parsed is None:
        raise CredentialsMissing(f"The credentials in {place} are damaged. Store them again with `pulseframes login`.")
    wanted = checked_base_url("base_url", base_url, allow_http=True) if base_url else base_url_of_environment()
    if parsed.base_url != wanted:  # secrets must not go to whatever server is tried
        raise CredentialsMissing(
            f"{_not_set(found)} The credentials in {place} are for {parsed.base_url} and are not sent to {wanted}. Set the "
            f"variables, or run `pulseframes login` while {ENV_BASE_URL} names that address."
        )
    return {name: Found(secret, place) for name, secret in parsed.secrets.items()} | found


def _not_set(found: Mapping[str, object]) -> str:
    return f"Not set: {', '.join(variable for name, variable in VARIABLES.items() if name not in found)}."


def _stored() -> tuple[str, Secret | None]:
    """Return where credentials are stored, and the document; None if there is none."""
    path = _file_of_user()
    document = None if path is None else _read_private(path)
    return (KEYRING, _in_keyring()) if document is None else (str(path), document)


def store_credentials(credentials: Credentials, *, in_file: bool = False) -> str:
    """Store credentials for the address that the environment names: in the keyring if there is one, else in the file; return where.

    Raises
    ------
    InvalidQuery
        If the address is invalid.
    CredentialsMissing
        If there is no folder for the file.
    OSError
        If the keyring fails, or the file cannot be written.
    """
    base_url = base_url_of_environment()
    document = Secret(
        json.dumps({"base_url": base_url} | {name: getattr(credentials, name).reveal() for name in VARIABLES})
    )
    try:
        if not in_file and _put_into_keyring(document):
            _remove_file()  # it would win
            return KEYRING
    except _KeyringFailed as problem:
        raise OSError(f"{problem}. Unlock it, or store them in a file: `pulseframes login --file`.") from None
    path = credentials_file()
    _write_private(document, path)
    try:
        _remove_from_keyring()
    except _KeyringFailed as problem:
        message = f"{problem}, so an entry of an earlier login may remain there. It is not used while {path} exists."
        warn(PulseWarning, f"{message} To remove it, unlock the keyring and run `pulseframes login --file` again.")
    return str(path)


def remove_credentials() -> list[str]:
    """Remove the stored credentials; return from where.

    Raises
    ------
    OSError
        If the keyring fails, after removing the file.
    """
    path = _remove_file()
    removed = [] if path is None else [str(path)]
    try:
        return [*removed, KEYRING] if _remove_from_keyring() else removed
    except _KeyringFailed as problem:
        so_far = f" {path} was removed." if path else ""
        message = f"{problem}, so what is stored there was not removed.{so_far} Unlock it, and run `pulseframes login --remove` again."
        raise OSError(message) from None


def _remove_file() -> Path | None:
    """Remove the file of credentials, or a link in its place; return its path, or None if there was none."""
    path = _file_of_user()
    if path is None or not os.path.lexists(path):
        return None
    path.unlink()
    return path


def credentials_file() -> Path:
    """Return the file of credentials, in the user's configuration folder.

    Raises
    ------
    CredentialsMissing
        If there is no such folder, as in a container without a home.
    """
    path = _file_of_user()
    if path is None:
        raise CredentialsMissing(
            f"No home folder was found to store credentials in. Set HOME to one, or set {', '.join(VARIABLES.values())}."
        )
    return path


def _file_of_user() -> Path | None:
    try:
        folder = platformdirs.user_config_path("pulseframes", appauthor=False)
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return None
    return folder / "credentials.json" if folder.is_absolute() else None  # never in the working folder


def problem_of(credential: object) -> str:
    """Return what is wrong with a credential; empty if nothing is."""
    if not isinstance(credential, str) or not credential.strip():
        return "is empty"
    if not credential.strip().isascii() or not credential.strip().isprintable():
        return "has a character that is not printable ASCII. Copy it again"
    return ""


class _Stored(NamedTuple):
    base_url: str
    secrets: dict[str, Secret]


def _parsed(document: Secret) -> _Stored | None:
    """Return the credentials in a stored document; None if it is damaged, so that no exception is raised next to the text."""
    try:
        stored = json.loads(document.reveal())
        values = {name: stored[name] for name in ("base_url", *VARIABLES)}
        base_url = checked_base_url("base_url", values["base_url"], allow_http=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if any(map(problem_of, values.values())):
        return None
    return _Stored(base_url, {name: Secret(values[name]) for name in VARIABLES})


class _KeyringFailed(Exception):
    """There is a keyring that does not work now, and may have an entry: a locked one, or one without its desktop."""


def _with_keyring(use: Callable[[ModuleType], str | None]) -> str | None:
    """Return what a function gets of the keyring; None if there is none."""
    try:
        import keyring

        try:
            return use(keyring)
        except keyring.errors.NoKeyringError:
            return None
    except Exception as problem:  # noqa: BLE001  it raises what it likes
        if isinstance(problem, ModuleNotFoundError) and problem.name == "keyring":
            return None
        kind = type(problem).__name__
    raise _KeyringFailed(f"The keyring failed ({kind})")  # outside the handler, without the frames that had the secrets


def _in_keyring() -> Secret | None:
    """Return the keyring's entry; None if there is none."""
    text = _with_keyring(lambda keyring: keyring.get_password(_SERVICE, _ENTRY))
    return None if text is None else Secret(text)


def _put_into_keyring(document: Secret) -> bool:
    _with_keyring(lambda keyring: keyring.set_password(_SERVICE, _ENTRY, document.reveal()))
    return _in_keyring() == document  # one that is switched off takes everything and returns nothing


def _remove_from_keyring() -> bool:
    if _in_keyring() is None:
        return False
    _with_keyring(lambda keyring: keyring.delete_password(_SERVICE, _ENTRY))
    return True


def _read_private(path: Path) -> Secret | None:
    """Return the text of a file that nobody else can read; None if there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as problem:
        unfit = "is a link" if path.is_symlink() else f"cannot be read ({problem.strerror})"
    else:
        status = os.fstat(handle)
        is_private = os.name == "nt" or not status.st_mode & 0o077
        if stat.S_ISREG(status.st_mode) and is_private:
            with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
                return Secret(file.read())
        os.close(handle)
        unfit = "can be read by other users" if stat.S_ISREG(status.st_mode) else "is not a file"
    raise CredentialsMissing(
        f"{path} {unfit}, so it is not used. Run `pulseframes login` again, which replaces it. If somebody may have read it, renew "
        "the keys in Raygun."
    )


def _write_private(text: Secret, path: Path) -> None:
    """Write a file that only its owner can read, whole or not at all; a link is replaced, not followed."""
    make_private(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")  # of mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text.reveal())
        temporary.replace(path)
    except BaseException:  # Ctrl-C too: half of a secret must not stay
        temporary.unlink(missing_ok=True)
        raise
