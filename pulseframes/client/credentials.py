"""Credentials: from arguments, else from the environment, else from where ``pulseframes login`` stored them."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import platformdirs

from pulseframes._secret import Secret
from pulseframes.client.database import make_private
from pulseframes.client.settings import ENV_BASE_URL, base_url_of_environment
from pulseframes.errors import CredentialsMissing

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
        """Read the variables, and for those that are not set what ``pulseframes login`` stored: in the keyring, else in its file.

        Parameters
        ----------
        base_url : str or None
            The API's address; default: ``PULSEFRAMES_BASE_URL``. What was stored for another one is not used.

        Raises
        ------
        CredentialsMissing
            With the name of each variable that is neither set nor stored; or if the file is damaged, or others can read it.

        Examples
        --------
        >>> credentials = pf.Credentials.find()
        """
        return cls._of({name: found.secret for name, found in find_credentials(base_url).items()})

    @classmethod
    def _of(cls, found: Mapping[str, Secret]) -> Credentials:
        missing = [variable for name, variable in VARIABLES.items() if name not in found]
        if missing:
            raise CredentialsMissing(
                f"Not set: {', '.join(missing)}. Store them with `pulseframes login`, or set them in the environment. {_WHERE_TO_FIND}"
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
    """Return those credentials that are set or stored: the environment wins over the keyring, and that over the file.

    Raises
    ------
    CredentialsMissing
        If what is stored is needed and is for another address, damaged, or in a file that others can read.
    """
    found = {name: Found(secret, ENVIRONMENT) for name, secret in in_environment().items()}
    if len(found) == len(VARIABLES):
        return found
    place, stored = KEYRING, _in_keyring()
    if stored is None:
        place, stored = str(credentials_file()), _read_private(credentials_file())
    if stored is None:
        return found
    parsed = _parsed(stored)
    if parsed is None:
        raise CredentialsMissing(f"The credentials in {place} are damaged. Store them again with `pulseframes login`.")
    wanted = base_url or base_url_of_environment()
    if parsed.base_url != wanted:  # secrets must not go to whatever server is tried
        missing = ", ".join(variable for name, variable in VARIABLES.items() if name not in found)
        raise CredentialsMissing(
            f"Not set: {missing}. The credentials in {place} are for {parsed.base_url} and are not sent to {wanted}. Set the "
            f"variables, or run `pulseframes login` while {ENV_BASE_URL} names that address."
        )
    return {name: Found(secret, place) for name, secret in parsed.secrets.items()} | found


def store_credentials(credentials: Credentials, *, in_file: bool = False) -> str:
    """Store credentials for the address that the environment names: in the keyring if one works, else in the file; return where.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    values = {name: getattr(credentials, name).reveal() for name in VARIABLES}
    document = Secret(json.dumps({"base_url": base_url_of_environment()} | values))
    del values
    if not in_file and _put_into_keyring(document):
        credentials_file().unlink(missing_ok=True)
        return KEYRING
    _write_private(document, credentials_file())
    _remove_from_keyring()  # it would win
    return str(credentials_file())


def remove_credentials() -> list[str]:
    """Remove the stored credentials; return from where."""
    removed = [KEYRING] if _remove_from_keyring() else []
    path = credentials_file()
    if os.path.lexists(path):
        path.unlink()
        removed.append(str(path))
    return removed


def credentials_file() -> Path:
    """Return the file of credentials, in the user's configuration folder."""
    return platformdirs.user_config_path("pulseframes", appauthor=False) / "credentials.json"


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
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if any(map(problem_of, values.values())):
        return None
    return _Stored(values["base_url"], {name: Secret(values[name]) for name in VARIABLES})


def _in_keyring() -> Secret | None:
    """Return the keyring's entry; None if there is none, or no keyring that works."""
    try:
        import keyring

        text = keyring.get_password(_SERVICE, _ENTRY)
    except Exception:  # noqa: BLE001  a locked keyring, or one without its desktop, raises what it likes
        return None
    return None if text is None else Secret(text)


def _put_into_keyring(document: Secret) -> bool:
    try:
        import keyring

        keyring.set_password(_SERVICE, _ENTRY, document.reveal())
    except Exception:  # noqa: BLE001  as above
        return False
    return _in_keyring() == document  # one that is switched off takes everything and returns nothing


def _remove_from_keyring() -> bool:
    if _in_keyring() is None:
        return False
    import keyring

    try:
        keyring.delete_password(_SERVICE, _ENTRY)
    except Exception as problem:  # noqa: BLE001  as above
        raise OSError(f"The keyring did not remove the credentials ({type(problem).__name__}).") from None
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
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
