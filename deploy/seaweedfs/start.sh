#!/bin/sh
# Starts SeaweedFS with its S3 gateway. Other containers reach only the gateway. Its three keys come from the environment: the
# root, which creates the bucket; the product's key; the key that may only put under uploads/.
set -eu
umask 077

faults=0
# Secrets are inserted into JSON strings without escaping.
check() {
  case $2 in
    '') echo "start.sh: $1 is not set: set it to letters, digits, - and _" >&2 && faults=1 ;;
    *[!A-Za-z0-9_-]*) echo "start.sh: $1 (${#2} characters) may hold letters, digits, - and _ only" >&2 && faults=1 ;;
  esac
}
check STORE_ROOT_SECRET_KEY "${STORE_ROOT_SECRET_KEY:-}"
check STORE_SECRET_KEY "${STORE_SECRET_KEY:-}"
check STORE_UPLOAD_SECRET_KEY "${STORE_UPLOAD_SECRET_KEY:-}"
[ "$faults" = 0 ] || exit 1
bucket=${STORE_BUCKET:-evermuse-lake}
settings=${STORE_SETTINGS:-/tmp/seaweedfs}
data=${STORE_DATA:-/data}

identity() {
  printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": [%s]}' "$1" "$1" "$2" "$3"
}
token() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

mkdir -p "$settings"
ours="\"Read:$bucket\", \"Write:$bucket\", \"List:$bucket\", \"Tagging:$bucket\""
{
  printf '{"identities": [%s, ' "$(identity evermuse-root "$STORE_ROOT_SECRET_KEY" '"Admin"')"
  printf '%s, ' "$(identity evermuse "$STORE_SECRET_KEY" "$ours")"
  printf '%s]}\n' "$(identity evermuse-uploads "$STORE_UPLOAD_SECRET_KEY" "\"Write:$bucket/uploads/*\"")"
} > "$settings/s3.json"
for section in jwt.signing jwt.signing.read jwt.filer_signing jwt.filer_signing.read; do
  printf '[%s]\nkey = "%s"\n' "$section" "$(token)"
done > "$settings/security.toml"
printf '[cors.allowed_origins]\nvalues = ""\n' >> "$settings/security.toml"

# The options are those of `make run` (deploy/local/seaweedfs.py).
# shellcheck disable=SC2086
exec weed -config_dir="$settings" -logtostderr=true server -dir="$data" \
  -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.ip.bind="${STORE_LISTEN:-0.0.0.0}" -filer -s3 -s3.port="${STORE_PORT:-8333}" \
  -s3.config="$settings/s3.json" -s3.port.iceberg=0 -s3.port.lance=0 -s3.allowedOrigins= -s3.iam=false \
  -s3.autoCreateBucket=false -filer.allowedOrigins= -master.telemetry=false -master.volumeSizeLimitMB=256 \
  -master.electionTimeout=500ms -volume.max=0 -volume.preStopSeconds=0 ${STORE_OPTIONS:-}
