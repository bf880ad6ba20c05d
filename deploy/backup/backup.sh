#!/bin/sh
# Backs PostgreSQL up into the object store with Barman, and restores it to any point of time since the oldest base backup.
#
#   backup.sh run       archive WAL as it comes, and take a base backup each BACKUP_HOURS
#   backup.sh archive   archive the WAL that waits in WAL_SPOOL, once
#   backup.sh base      take a base backup, and delete those that BACKUP_RETENTION no longer needs, with their WAL
#   backup.sh alive     whether `run` has archived or tried to within the last 10 minutes
#   backup.sh list      the base backups
#   backup.sh fetch     restore the last base backup (or BACKUP_ID) into PGDATA, ready to replay WAL
#   backup.sh restore   fetch, replay all WAL (or up to RESTORE_TIME), and stop
#
# Settings: BACKUP_URL (s3://bucket/path), BACKUP_ENDPOINT (empty: AWS), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
# BACKUP_SERVER, BACKUP_RETENTION, BACKUP_HOURS, WAL_SPOOL, PGDATA, and libpq's PGHOST, PGPORT, PGUSER, PGPASSWORD.
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

# PostgreSQL writes complete files only. A file is removed when the store has it, so an interrupted round is repeated.
archive() {
  touch "$alive"
  for file in "$spool"/*; do
    case $file in *.part | "$spool/*") continue ;; esac
    # shellcheck disable=SC2086
    barman-cloud-wal-archive $store --gzip "$BACKUP_URL" "$server" "$file"
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

fetch() {
  if [ -n "$(ls -A "$PGDATA" 2> /dev/null)" ]; then
    say "PGDATA is not empty: move the old data directory away first"
    exit 1
  fi
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  # shellcheck disable=SC2086
  barman-cloud-restore $store "$BACKUP_URL" "$server" "${BACKUP_ID:-latest}" "$PGDATA"
  # The keys of the store stay in the environment.
  {
    echo "restore_command = 'barman-cloud-wal-restore $store \"$BACKUP_URL\" \"$server\" \"%f\" \"%p\"'"
    echo "recovery_target_timeline = 'latest'"
    if [ -n "${RESTORE_TIME:-}" ]; then
      echo "recovery_target_time = '$RESTORE_TIME'"
      echo "recovery_target_action = 'promote'"
    fi
  } >> "$PGDATA/postgresql.auto.conf"
  touch "$PGDATA/recovery.signal"
  say "fetched; the next start replays the WAL"
}

restore() {
  fetch
  # Nothing is archived before restorecheck has run: the archive still belongs to the lost database.
  pg_ctl -D "$PGDATA" -w -t 86400 -o "-c listen_addresses= -c archive_mode=off" start
  until [ "$(psql -h /var/run/postgresql -U "${PGUSER:-evermuse}" -d postgres -qtAc 'SELECT pg_is_in_recovery()')" = f ]; do
    sleep 1
  done
  pg_ctl -D "$PGDATA" -w -t 600 -m fast stop
  for name in restore_command recovery_target_timeline recovery_target_time recovery_target_action; do
    sed -i "/^$name = /d" "$PGDATA/postgresql.auto.conf"
  done
  say "restored; start PostgreSQL, and run manage.py restorecheck"
}

show() {
  # shellcheck disable=SC2086
  barman-cloud-backup-list $store "$BACKUP_URL" "$server"
}

case ${1:-run} in
  run | archive | base | fetch | restore) "${1:-run}" ;;
  list) show ;;
  alive) [ "$(($(date +%s) - $(stat -c %Y "$alive")))" -lt 600 ] ;;
  *) say "run, archive, base, list, fetch or restore" && exit 2 ;;
esac
