"""moto in place of SeaweedFS: an S3 server in memory. It checks no signature, and it loses everything when it is killed."""

import os
import subprocess
from dataclasses import dataclass

from deploy.local.seaweedfs import SeaweedFS

# The interpreter of an environment of its own, because moto is no dependency of ours.
PYTHON = os.environ.get("MOTO_PYTHON", "")
MISSING = "name the interpreter of an environment with moto[server,s3] in MOTO_PYTHON"


def version() -> str:
    """The installed version."""
    command = [PYTHON, "-c", "import moto; print(moto.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Moto(SeaweedFS):
    """moto with SeaweedFS's name, port and keys."""

    def prepare(self) -> None:
        """Nothing is stored on disk."""

    def command(self) -> list[str]:
        return [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.home.ports_in_use["s3"])]
