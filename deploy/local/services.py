"""The output of `manage.py services`: addresses, logins and processes of the embedded stack."""

import os
from pathlib import Path
from typing import Any

from deploy.local.leftovers import living
from deploy.local.processes import FLOWER_PORT, WEB_PORT
from deploy.local.state import ADMIN, BUCKET, Home, read_json


def describe(root: Path) -> dict[str, Any]:
    """Addresses, logins and processes. A stack that does not run has no processes."""
    home = Home(root)
    known: dict[str, str] = {**read_json(home.environment_file, {}), **os.environ}
    noted: dict[str, str] = read_json(home.environment_file, {})
    web = f"http://127.0.0.1:{noted.get(WEB_PORT) or known.get(WEB_PORT, '8000')}"
    return {
        "web": web,
        "flower": f"http://127.0.0.1:{noted.get(FLOWER_PORT) or known.get(FLOWER_PORT, '5555')}",
        "admin": {
            "url": f"{web}/admin/",
            "username": known.get("EVERMUSE_ADMIN_USERNAME", ADMIN),
            "password": known.get("EVERMUSE_ADMIN_PASSWORD", ""),
        },
        "database": known.get("DATABASE_URL", ""),
        "broker": known.get("CELERY_BROKER_URL", ""),
        "objectStore": {
            "endpoint": known.get("MINIO_ENDPOINT", ""),
            "accessKey": known.get("MINIO_ACCESS_KEY", ""),
            "secretKey": known.get("MINIO_SECRET_KEY", ""),
            "bucket": known.get("MINIO_BUCKET", BUCKET),
        },
        "processes": living(home),
    }
