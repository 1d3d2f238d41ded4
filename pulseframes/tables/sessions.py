"""The sessions table."""

from __future__ import annotations

from typing import Final

from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.tables.columns import Privacy, Table, boolean, instant, integer, text

SESSIONS: Final = Table(
    name="sessions",
    description="One row per visit of one user.",
    key=("session_id",),
    endpoints=(SEARCH, DETAIL),
    columns=(
        integer("session_id", "id", "ID of the session.", required=True, privacy=Privacy.IDENTIFIER),
        instant("session_start", "sessionStart", "When the session started.", required=True),
        instant("session_updated", "sessionUpdated", "When the server last changed the session."),
        instant("session_end", "sessionEnd", "When the session ended; null while it is active."),
        integer("user_id", "user.id", "ID of the user.", privacy=Privacy.IDENTIFIER),
        boolean("user_is_anonymous", "user.isAnonymous", "True if the user is anonymous."),
        text(
            "user_identifier",
            "user.identifier",
            "Set by the site, often to an e-mail address.",
            privacy=Privacy.PERSONAL,
        ),
        text("user_first_name", "user.firstName", "The user's first name.", privacy=Privacy.PERSONAL),
        text("user_full_name", "user.fullName", "The user's full name.", privacy=Privacy.PERSONAL),
        text("user_email_address", "user.emailAddress", "The user's e-mail address.", privacy=Privacy.PERSONAL),
        instant("user_first_seen", "user.firstSeen", "When the user was first seen, if ever.", never_is_null=True),
        instant("user_last_seen", "user.lastSeen", "When the user was last seen, if ever.", never_is_null=True),
        text("user_web_url", "user.links.web", "The user's page in Raygun.", privacy=Privacy.IDENTIFIER),
        text(
            "satisfaction_rating",
            "satisfactionRating",
            "Raygun's rating of the whole session.",
            known_values=("Excellent", "Good", "Average", "Poor"),
            endpoints=(DETAIL,),
        ),
        text("browser_name", "browser.name", "Name of the browser."),
        text("browser_version", "browser.version", "Full version of the browser."),
        text("platform_name", "platform.name", "Name of the platform: the kind of device."),
        text("os_name", "os.name", "Name of the operating system."),
        text("os_version", "os.version", "Full version of the operating system."),
        text("country", "location.country", "Two-letter country code."),
        text("ip_address", "location.ipAddress", "Public IP address of the user.", privacy=Privacy.PERSONAL),
        text("ip_country", "location.ipLookup.country", "Country of the IP address, by name.", endpoints=(DETAIL,)),
        text("ip_state", "location.ipLookup.state", "State or region of the IP address.", endpoints=(DETAIL,)),
        text("ip_city", "location.ipLookup.city", "City of the IP address.", endpoints=(DETAIL,)),
        integer("session_length_ms", "sessionLength", "Length of the session.", unit="ms", minimum=0),
        text("status", "status", "Whether the session is active or has ended.", known_values=("active", "ended")),
        integer(
            "page_view_count",
            "pageViewCount",
            "Number of page views; in details, the length of their list.",
            unit="page views",
            minimum=0,
            length_of="pageViews",
            endpoints=(SEARCH,),
        ),
        text("api_url", "links.self", "The session's address in the API.", privacy=Privacy.IDENTIFIER),
        text("web_url", "links.web", "The session's page in Raygun.", privacy=Privacy.IDENTIFIER),
    ),
)

#: The satisfaction ratings, from best to worst.
RATINGS: Final = SESSIONS["satisfaction_rating"].known_values
