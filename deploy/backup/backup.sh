#!/bin/sh
# Backs PostgreSQL up into the object store with Barman, and restores it to any point of time since the oldest base backup.
#
#   backup.sh run       archive WAL as it comes, and take a base backup each BACKUP_HOURS
#   backup.sh archive   archive the WAL that waits in WAL_SPOOL, once
#   backup.sh base      take a base backup, and delete those that BACKUP_RETENTION no longer needs, with their WAL
#   backup.sh alive     whether `run` has archived or tried to within the last 10 minutes
#   backup.sh list      the base backups
#   backup.sh fetch     restore a base backup into PGDATA, ready to replay WAL: the last one, the last one before
#                       RESTORE_TIME, or BACKUP_ID
#   backup.sh restore   fetch, replay all WAL (or up to RESTORE_TIME), and stop
#
# Settings: BACKUP_URL (s3://bucket/path), BACKUP_ENDPOINT (empty: AWS), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
# BACKUP_SERVER, BACKUP_RETENTION, BACKUP_HOURS, WAL_SPOOL, PGDATA, and libpq's PGHOST, PGPORT, PGUSER, PGPASSWORD.
# `restore` runs as the user that owns PostgreSQL's data, with pg_ctl of the same major version in PATH.
set -eu

server=${BACKUP_SERVER:-evermuse}
spool=${WAL_SPOOL:-/wal}
alive=${BACKUP_ALIVE:-/tmp/backup-alive}
store="--cloud-provider aws-s3"
if [ -n "${BACKUP_ENDPOINT:-}" ]; then
  store="$store --endpoint-url $BACKUP_ENDPOINT"
fi

say() {
  echo "backup: $*" >&2
}

faults=0
fault() {
  say "$*"
  faults=$((faults + 1))
}

is_whole() {
  case $1 in '' | 0 | *[!0-9]*) return 1 ;; esac
}

# All faults of the settings at once, one line each. No line has a value, because it may be a secret.
check() {
  case ${BACKUP_URL:-} in
    s3://?*) ;;
    '') fault "BACKUP_URL is not set: set it to s3://bucket/path" ;;
    *) fault "BACKUP_URL (${#BACKUP_URL} characters) must be s3://bucket/path" ;;
  esac
  case ${BACKUP_ENDPOINT:-} in
    '' | http://?* | https://?*) ;;
    *) fault "BACKUP_ENDPOINT (${#BACKUP_ENDPOINT} characters) must begin with http:// or https://, or be empty for AWS" ;;
  esac
  if [ -n "${AWS_ACCESS_KEY_ID:-}" ] && [ -z "${AWS_SECRET_ACCESS_KEY:-}" ]; then
    fault "AWS_SECRET_ACCESS_KEY is not set, but AWS_ACCESS_KEY_ID is: set both or neither"
  elif [ -z "${AWS_ACCESS_KEY_ID:-}" ] && [ -n "${AWS_SECRET_ACCESS_KEY:-}" ]; then
    fault "AWS_ACCESS_KEY_ID is not set, but AWS_SECRET_ACCESS_KEY is: set both or neither"
  fi
  is_whole "${BACKUP_HOURS:-24}" || fault "BACKUP_HOURS (${#BACKUP_HOURS} characters) must be a whole number, at least 1"
  is_whole "${ARCHIVE_SECONDS:-5}" || fault "ARCHIVE_SECONDS (${#ARCHIVE_SECONDS} characters) must be a whole number, at least 1"
  is_whole "${PGPORT:-5432}" || fault "PGPORT (${#PGPORT} characters) must be a port"
  if ! echo "${BACKUP_RETENTION:-REDUNDANCY 1}" | grep -Eq '^(RECOVERY WINDOW OF [0-9]+ (DAYS|WEEKS|MONTHS)|REDUNDANCY [0-9]+)$'; then
    fault "BACKUP_RETENTION (${#BACKUP_RETENTION} characters) must be RECOVERY WINDOW OF n DAYS (WEEKS, MONTHS), or REDUNDANCY n"
  fi
  case $1 in
    run | archive) [ -d "$spool" ] || fault "WAL_SPOOL (${#spool} characters) must be a directory, that of PostgreSQL's archive_command" ;;
    fetch | restore)
      [ -n "${PGDATA:-}" ] || fault "PGDATA is not set: set it to the directory to restore into"
      is_time "${RESTORE_TIME:-}" || fault "RESTORE_TIME (${#RESTORE_TIME} characters) must be a time such as 2026-01-31 12:00:00+00"
      ;;
  esac
  [ "$faults" = 0 ] || exit 2
}

is_time() {
  case $1 in
    '') ;;
    [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*) date -d "$1" > /dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}

# What would otherwise fail only after the download, which may take hours.
check_replay() {
  [ "$(id -u)" != 0 ] || fault "PostgreSQL refuses to run as root: run this as the user that owns its data"
  command -v pg_ctl > /dev/null || fault "pg_ctl is not in PATH: add the directory of PostgreSQL's programs"
  [ "$faults" = 0 ] || exit 2
}

# PostgreSQL writes complete files only. A file is removed when the store has it, so an interrupted round is repeated.
archive() {
  touch "$alive"
  for file in "$spool"/*; do
    case $file in *.part | "$spool/*") continue ;; esac
    # `set -e` does not hold here, because `run` looks at the result.
    # shellcheck disable=SC2086
    barman-cloud-wal-archive $store --gzip "$BACKUP_URL" "$server" "$file" || return 1
    rm -f "$file"
  done
}

base() {
  # shellcheck disable=SC2086
  barman-cloud-backup $store --gzip --immediate-checkpoint --host "${PGHOST:-postgres}" --port "${PGPORT:-5432}" \
    --user "${PGUSER:-evermuse}" --dbname postgres "$BACKUP_URL" "$server"
  # shellcheck disable=SC2086
  barman-cloud-backup-delete $store --retention-policy "${BACKUP_RETENTION:-RECOVERY WINDOW OF 14 DAYS}" "$BACKUP_URL" "$server"
  say "base backup taken"
}

run() {
  trap 'exit 0' TERM INT
  due=0
  while true; do
    archive || say "the WAL could not be archived, and waits"
    now=$(date +%s)
    if [ "$now" -ge "$due" ]; then
      # The WAL of the backup has to be archived meanwhile: Barman waits for it.
      base &
      backup=$!
      while kill -0 "$backup" 2> /dev/null; do
        archive || say "the WAL could not be archived, and waits"
        sleep 1
      done
      if wait "$backup"; then
        due=$((now + ${BACKUP_HOURS:-24} * 3600))
      else
        say "the base backup failed, and is tried again in 10 minutes"
        due=$((now + 600))
      fi
    fi
    sleep "${ARCHIVE_SECONDS:-5}" &
    wait $!
  done
}

# Prints the id of the backup to restore. Barman's own choice, `latest`, may be a backup that failed.
choose='
import datetime, json, os, sys
named, before = os.environ.get("BACKUP_ID", ""), float(os.environ.get("RESTORE_SECONDS") or "inf")
found = [
    backup["backup_id"]
    for backup in json.load(sys.stdin)["backups_list"]
    if backup["status"] == "DONE"
    and (not named or named in (backup["backup_id"], backup.get("backup_name")))
    and (named or datetime.datetime.fromisoformat(backup["end_time_iso"]).timestamp() <= before)
]
print(max(found, default=""))
'

choose_backup() {
  # shellcheck disable=SC2086
  listed=$(barman-cloud-backup-list $store --format json "$BACKUP_URL" "$server") || { say "the backups could not be listed"; exit 1; }
  seconds=
  [ -z "${RESTORE_TIME:-}" ] || seconds=$(date -d "$RESTORE_TIME" +%s.%N)
  chosen=$(echo "$listed" | RESTORE_SECONDS=$seconds python3 -c "$choose")
  if [ -n "$chosen" ]; then
    return
  elif [ -n "${BACKUP_ID:-}" ]; then
    say "there is no complete base backup $BACKUP_ID: see backup.sh list"
  elif [ -n "${RESTORE_TIME:-}" ]; then
    say "no base backup was complete before RESTORE_TIME: see backup.sh list"
  else
    say "BACKUP_URL has no complete base backup of the server $server: see backup.sh list"
  fi
  exit 1
}

fetch() {
  if [ -n "$(ls -A "$PGDATA" 2> /dev/null)" ]; then
    say "PGDATA is not empty: move the old data directory away first"
    exit 1
  fi
  choose_backup
  say "fetching the base backup $chosen"
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  # shellcheck disable=SC2086
  if ! barman-cloud-restore $store "$BACKUP_URL" "$server" "$chosen" "$PGDATA"; then
    say "the base backup could not be fetched: empty PGDATA before you try again"
    exit 1
  fi
  # The keys of the store stay in the environment.
  {
    echo "restore_command = 'barman-cloud-wal-restore $store \"$BACKUP_URL\" \"$server\" \"%f\" \"%p\"'"
    echo "recovery_target_timeline = 'latest'"
    if [ -n "${RESTORE_TIME:-}" ]; then
      # In UTC, because PostgreSQL may have another time zone than this script.
      echo "recovery_target_time = '$(date -u -d "$RESTORE_TIME" '+%F %T.%6N+00')'"
      echo "recovery_target_action = 'promote'"
    fi
  } >> "$PGDATA/postgresql.auto.conf"
  touch "$PGDATA/recovery.signal"
  say "fetched; the next start replays the WAL"
}

restore() {
  check_replay
  fetch
  sockets=$(mktemp -d)
  trap 'rm -rf "$sockets"' EXIT
  trap 'pg_ctl -D "$PGDATA" -m immediate stop; exit 1' TERM INT
  # Nothing is archived before restorecheck has run: the archive still belongs to the lost database.
  # Without hot standby, PostgreSQL does not compare max_connections with that of the lost server, whose value was on its command line.
  pg_ctl -D "$PGDATA" -w -t 86400 -o "-c listen_addresses= -c archive_mode=off -c hot_standby=off -c unix_socket_directories=$sockets" start ||
    not_replayed
  # The file that pg_ctl reads too. A connection would need a password that the restored database may not know.
  until grep -q '^ready' "$PGDATA/postmaster.pid" 2> /dev/null; do
    pg_ctl -D "$PGDATA" status > /dev/null || not_replayed
    sleep 1
  done
  pg_ctl -D "$PGDATA" -w -t 600 -m fast stop
  for name in restore_command recovery_target_timeline recovery_target_time recovery_target_action; do
    sed -i "/^$name = /d" "$PGDATA/postgresql.auto.conf"
  done
  say "restored; start PostgreSQL, and run manage.py restorecheck"
}

not_replayed() {
  say "PostgreSQL ended while it replayed the WAL: see its lines above. Empty PGDATA before you try again"
  exit 1
}

show() {
  # shellcheck disable=SC2086
  barman-cloud-backup-list $store "$BACKUP_URL" "$server"
}

is_alive() {
  # The file is touched with each try. Before the first one it is not there.
  tried=$(stat -c %Y "$alive" 2>/dev/null || echo 0)
  if [ $(($(date +%s) - tried)) -ge 600 ]; then
    say "nothing was archived, or tried to, within the last 10 minutes"
    return 1
  fi
}

case ${1:-run} in
  run | archive | base | fetch | restore)
    check "${1:-run}"
    "${1:-run}"
    ;;
  list)
    check list
    show
    ;;
  alive) is_alive ;;
  *) say "run, archive, base, alive, list, fetch or restore" && exit 2 ;;
esac
