"""A lock on a file. The system releases it however the process ends."""

import sys
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def try_lock(file: BinaryIO) -> bool:
        """Whether nobody else has the lock; it is ours then. Locks a byte far behind the content.

        Windows' C library may take only 32 bits of the offset.
        """
        file.seek(2**31 - 2)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
        return True

else:
    import fcntl

    def try_lock(file: BinaryIO) -> bool:
        """Whether nobody else has the lock; it is ours then."""
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
