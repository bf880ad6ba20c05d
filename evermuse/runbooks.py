"""Addresses of the runbooks in the documentation that the web process serves."""

_PAGE = "/docs/runbooks.html"

BATCHES_WAIT = f"{_PAGE}#1-batches-stay-landing"
STORE_AWAY = f"{_PAGE}#3-the-object-store-does-not-answer"
BROKER_AWAY = f"{_PAGE}#4-the-broker-does-not-answer"
WORKER_MISSING = f"{_PAGE}#5-a-worker-is-missing"
REDIS_AWAY = f"{_PAGE}#8-a-client-gets-429"
FILES_WAIT = f"{_PAGE}#10-files-are-stuck"
DATABASE_AWAY = f"{_PAGE}#11-requests-get-503"
FIGURES_OLD = f"{_PAGE}#12-the-overview-shows-old-figures"
JOURNAL_BEHIND = f"{_PAGE}#13-the-journal-is-behind"
DATABASE_RESTORED = f"{_PAGE}#15-the-database-was-restored-from-an-earlier-time"
