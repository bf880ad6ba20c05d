"""Raw SQL of the attachments app. Each claim and each settlement is one statement, and so one commit.

Lock order: attachments, stored files, lanes, tallies of batches; several of a kind in the order of their keys. Only a
claim locks workspaces (`attachments.sql.lanes`) and lanes first. The files that it takes are PENDING, and nobody locks
those for long.
"""

from attachments.sql.again import PULL_ALIKE_FORWARD as PULL_ALIKE_FORWARD
from attachments.sql.again import REPLACE_URL as REPLACE_URL
from attachments.sql.again import RETRY as RETRY
from attachments.sql.again import RETRY_FAILED_ALIKE as RETRY_FAILED_ALIKE
from attachments.sql.again import RETRY_FILES as RETRY_FILES
from attachments.sql.claims import CHOOSE as CHOOSE
from attachments.sql.claims import CLAIM as CLAIM
from attachments.sql.claims import CLAIM_SUSPECT as CLAIM_SUSPECT
from attachments.sql.claims import DROP_KEPT as DROP_KEPT
from attachments.sql.claims import KEEP as KEEP
from attachments.sql.claims import MISSED as MISSED
from attachments.sql.claims import RENEW as RENEW
from attachments.sql.claims import SUSPECTS_DUE as SUSPECTS_DUE
from attachments.sql.lanes import ADD_AND_LOCK_NOTICED as ADD_AND_LOCK_NOTICED
from attachments.sql.lanes import NOTICES_AT_ONCE as NOTICES_AT_ONCE
from attachments.sql.lanes import REFRESH as REFRESH
from attachments.sql.lanes import RELEASE as RELEASE
from attachments.sql.lanes import TELL_HOST as TELL_HOST
from attachments.sql.lanes import WAIT as WAIT
from attachments.sql.lanes import WALK_FILES as WALK_FILES
from attachments.sql.lanes import WALK_LANES as WALK_LANES
from attachments.sql.registration import REGISTER as REGISTER
from attachments.sql.settlements import COMPLETE as COMPLETE
from attachments.sql.settlements import CRASHED as CRASHED
from attachments.sql.settlements import FAIL as FAIL
from attachments.sql.sweeping import PULL_FORWARD as PULL_FORWARD
from attachments.sql.sweeping import PULL_LANES_FORWARD as PULL_LANES_FORWARD
from attachments.sql.sweeping import TAKE_BACK as TAKE_BACK
from attachments.sql.uploads import CLAIM_INTENT as CLAIM_INTENT
from attachments.sql.uploads import LOCK_UPLOADS as LOCK_UPLOADS
from attachments.sql.uploads import UPLOADS_HELD as UPLOADS_HELD
from attachments.sql.waiting import COUNT_DUE_OF as COUNT_DUE_OF
from attachments.sql.waiting import COUNT_FAILED_ALIKE as COUNT_FAILED_ALIKE
from attachments.sql.waiting import DUE as DUE
from attachments.sql.waiting import NEWCOMERS as NEWCOMERS
from attachments.sql.waiting import OLDEST_DUE as OLDEST_DUE
from attachments.sql.waiting import STANDING as STANDING
