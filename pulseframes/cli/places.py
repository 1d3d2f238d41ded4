"""Where a lake is, as the commands take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pulseframes.lake import Lake
    from pulseframes.tables.privacy import PrivacyPolicy

WHERE = "A folder, or s3://bucket/prefix (gs:// and az://, too)."

LakePlace = Annotated[str, typer.Argument(metavar="LAKE", help=WHERE, show_default=False)]
OptionalLake = Annotated[
    str | None, typer.Argument(metavar="LAKE", help=f"{WHERE} The journal alone, if left out.", show_default=False)
]
StorageOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="For s3:// only, such as aws_region=...; may be repeated. What is not given is taken from the environment, "
        "where secrets belong.",
    ),
]


def open_lake(place: str, storage_options: list[str] | None, *, privacy: PrivacyPolicy | None = None) -> Lake:
    """Name a lake; nothing is read or made yet."""
    options = {}
    for option in storage_options or []:
        key, equals, value = option.partition("=")
        if not key or not equals:
            # Only the part before the sign is shown: the other one may be a secret.
            raise typer.BadParameter(f"{key!r} is not like aws_region=...", param_hint="--storage-option")
        options[key] = value
    from pulseframes.lake import Lake

    return Lake(place, privacy=privacy, storage_options=options or None)
