#!/bin/sh
# Starts PostgreSQL with memory settings computed from the container's limit. POSTGRES_OPTIONS comes last and takes precedence.
set -eu

faults=0
is_whole() {
  case $1 in '' | 0 | *[!0-9]*) return 1 ;; esac
}
fault() {
  echo "start.sh: $*" >&2
  faults=1
}
is_whole "${POSTGRES_MAX_CONNECTIONS:-200}" || fault "POSTGRES_MAX_CONNECTIONS (${#POSTGRES_MAX_CONNECTIONS} characters) must be a whole number"
is_whole "${POSTGRES_ARCHIVE_SECONDS:-60}" || fault "POSTGRES_ARCHIVE_SECONDS (${#POSTGRES_ARCHIVE_SECONDS} characters) must be a whole number"
case ${POSTGRES_ARCHIVE:-off} in
  on | off) ;;
  *) fault "POSTGRES_ARCHIVE (${#POSTGRES_ARCHIVE} characters) must be on or off" ;;
esac
[ "$faults" = 0 ] || exit 1

limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || echo max)
total=$(awk '/^MemTotal:/ {print $2}' /proc/meminfo)
case $limit in
  *[!0-9]* | '') megabytes=$((total / 1024)) ;;
  *)
    # Without a limit, cgroup v1 reports a number greater than the machine's memory.
    megabytes=$(awk -v limit="$limit" -v total="$total" 'BEGIN {m = limit / 1048576; t = total / 1024; print int(m < t ? m : t)}')
    ;;
esac

# Complete files only, and no file twice. Without a backup service nobody would take them away.
set --
archive='-c archive_mode=off'
if [ "${POSTGRES_ARCHIVE:-off}" = on ]; then
  spool=${POSTGRES_WAL_SPOOL:-/wal}
  [ "$(id -u)" != 0 ] || [ ! -d "$spool" ] || chown postgres:postgres "$spool"
  archive="-c archive_mode=on -c archive_timeout=${POSTGRES_ARCHIVE_SECONDS:-60}"
  set -- -c "archive_command=test ! -f $spool/%f && cp %p $spool/%f.part && sync $spool/%f.part && mv $spool/%f.part $spool/%f"
fi

# Errors are logged without their statements, which contain URLs and payloads.
# shellcheck disable=SC2086
exec ${POSTGRES_ENTRYPOINT-docker-entrypoint.sh} postgres \
  -c shared_buffers="$((megabytes / 4))MB" -c effective_cache_size="$((megabytes * 6 / 10))MB" \
  -c maintenance_work_mem="$((megabytes / 16))MB" -c work_mem=16MB -c max_connections="${POSTGRES_MAX_CONNECTIONS:-200}" \
  -c wal_compression=lz4 -c max_wal_size=4GB -c checkpoint_timeout=15min -c random_page_cost=1.1 \
  -c log_min_error_statement=panic -c log_error_verbosity=terse -c log_statement=none -c log_min_duration_statement=-1 \
  -c log_parameter_max_length=0 -c log_parameter_max_length_on_error=0 $archive "$@" ${POSTGRES_OPTIONS:-}
