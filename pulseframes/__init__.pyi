# Every public name and the module it lives in: the one table that __all__, the lazy loading and the docs read.

from . import charts as charts
from ._progress import Progress as Progress, ProgressHook as ProgressHook
from ._version import __version__ as __version__
from .analysis import (
    apdex as apdex,
    compare as compare,
    error_impact as error_impact,
    features as features,
    landings as landings,
    page_speed as page_speed,
    paths as paths,
    satisfaction as satisfaction,
    traffic as traffic,
)
from .analysis.estimate import estimate as estimate
from .analysis.page_template import page_template as page_template
from .analysis.precision import (
    PrecisionPlan as PrecisionPlan,
    plan_precision as plan_precision,
)
from .analysis.sample import Sample as Sample
from .client import (
    Credentials as Credentials,
    PulseClient as PulseClient,
    Quota as Quota,
    Settings as Settings,
    quota as quota,
)
from .erasure.forget import (
    Forgotten as Forgotten,
    forget as forget,
    retain as retain,
)
from .errors import (
    AuthenticationFailed as AuthenticationFailed,
    CredentialsMissing as CredentialsMissing,
    IncompleteWarning as IncompleteWarning,
    InvalidQuery as InvalidQuery,
    JournalError as JournalError,
    JournalWarning as JournalWarning,
    LakeError as LakeError,
    MalformedAnswer as MalformedAnswer,
    MissingSessionsWarning as MissingSessionsWarning,
    PulseError as PulseError,
    PulseWarning as PulseWarning,
    QuotaExhausted as QuotaExhausted,
    RejectedRowsWarning as RejectedRowsWarning,
    SchemaDriftWarning as SchemaDriftWarning,
    SchemaViolation as SchemaViolation,
    ServerError as ServerError,
    SessionNotFound as SessionNotFound,
)
from .fetch.forecast import Plan as Plan
from .fetch.plan import plan as plan
from .fetch.raw_export import (
    RawExport as RawExport,
    export_raw as export_raw,
)
from .fetch.sessions import (
    search_sessions as search_sessions,
    session_details as session_details,
)
from .fetch.sync import sync as sync
from .fetch.sync_report import SyncReport as SyncReport
from .lake import Lake as Lake
from .publishing.publish import publish as publish
from .publishing.report import PublishReport as PublishReport
from .reports import report as report
from .sampling.design import Design as Design
from .sampling.selection import choose_details as choose_details
from .scan import (
    cost as cost,
    scan_errors as scan_errors,
    scan_page_views as scan_page_views,
    scan_sessions as scan_sessions,
)
from .tables.certificate import (
    Certificate as Certificate,
    certificate as certificate,
)
from .tables.frames import SessionFrames as SessionFrames
from .tables.privacy import PrivacyPolicy as PrivacyPolicy
from .tables.validation import frame_schema as frame_schema
