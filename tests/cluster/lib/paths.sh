# Where everything lies, and the few words that every part uses: say, die, locked.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # sourced by ../cluster, which sets and reads more
source "$here/versions.env"
repository=$(cd "$here/../.." && pwd)
cache=${TIGHTSHIP_CACHE:-$HOME/.cache/tightship}
cluster=${TIGHTSHIP_CLUSTER:-tightship}
state=$cache/clusters/$cluster
bin=$cache/bin/$(cd "$here" && cat versions.env tools/*/go.mod node/pause.c | sha256sum | cut -c1-12)
mkdir -p "$cache/locks" "$state" "$bin"
export PATH=$bin:$PATH KUBECONFIG=$state/kubeconfig UV_SYSTEM_CERTS=1

say() { printf '%(%T)T %s\n' -1 "$*" >&2; }
die() { printf 'tightship: %s\n' "$*" >&2 && exit 1; }

# locked NAME COMMAND...: one run at a time on this machine; a second one waits and then finds the work done. The command runs in
# a subshell without the lock's descriptor: what it leaves running (a container's monitor) would hold the lock for ever.
locked() {
  local lock status
  exec {lock}>"$cache/locks/$1"
  flock -n "$lock" || { say "waiting for another run ($1)" && flock "$lock"; }
  set +e
  (set -e && exec {lock}>&- && "${@:2}")
  status=$?
  set -e
  exec {lock}>&-
  ((status == 0)) || exit "$status"
}

# content FILE...: twelve digits of a hash over names and contents of files and folders, relative to the repository.
content() {
  (cd "$repository" && find "$@" -type f ! -name '*.pyc' ! -path '*/.*' ! -path '*.egg-info/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
}
