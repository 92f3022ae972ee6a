# Builds the project's images and sends them to the nodes. A tag is the hash of what the image is made of.
# shellcheck shell=bash disable=SC2154

all_images=(operator converter triton-cpu store)

# image_sources NAME: the files that decide the image's content, relative to the repository.
image_sources() {
  printf '%s\n' Dockerfile
  case $1 in
    operator) printf '%s\n' requirements/operator.txt operator ;;
    converter) printf '%s\n' requirements/operator.txt requirements/converter.txt operator ;;
    triton-cpu) printf '%s\n' requirements/triton.txt images/triton-cpu ;;
    store) printf '%s\n' tests/cluster/versions.env ;;
    *) die "no image named '$1'; known: ${all_images[*]}" ;;
  esac
}

load_images() {
  local name tag sources
  (($#)) || set -- "${all_images[@]}"
  build_tools kind kubectl versitygw
  [[ -e $state/made ]] || die "no cluster: run tests/cluster/cluster up first"
  source "$state/made"
  export KIND_EXPERIMENTAL_PROVIDER=$engine
  for name in "$@"; do
    mapfile -t sources < <(image_sources "$name")
    tag=localhost/tightship/$name:$(content "${sources[@]}")
    locked "image-$name" build_image "$name" "$tag"
    send_image "$tag"
    echo "$name=$tag"
  done
}

build_image() {
  local log=$cache/image-$1.log command=("$engine" build) base=$PUBLISHED_BASE_IMAGE
  "$engine" image inspect "$2" >/dev/null 2>&1 && return
  if [[ $source_kind == offline ]]; then
    make_base_image
    base=$OFFLINE_BASE_IMAGE command=("${offline_build[@]}")
  fi
  say "building $2"
  "${command[@]}" --build-arg BASE_IMAGE="$base" --build-context tools="$bin" --target "$1" --tag "$2" "$repository" >"$log" 2>&1 ||
    die "building $1 failed, see $log: $(tail -n 5 "$log")"
}

# send_image TAG: kind's own way sends every layer to every node; with podman only the layers that a node lacks are sent.
send_image() {
  local node nodes layout=$cache/oci
  mapfile -t nodes < <(kind get nodes --name "$cluster" 2>/dev/null)
  for node in "${nodes[@]}"; do
    [[ -z $("$engine" exec "$node" ctr -n k8s.io images ls -q "name==$1") ]] || continue
    say "sending ${1##*/} to $node"
    if [[ $engine == docker ]]; then
      kind load docker-image "$1" --name "$cluster" --nodes "$node" >"$state/load.log" 2>&1 || die "loading $1 failed, see $state/load.log"
    else
      [[ -e $layout/${1//\//_} ]] || locked oci export_image "$1" "$layout/${1//\//_}"
      python3 "$here/send_image.py" "$layout/${1//\//_}" "$1" "$node"
    fi
  done
}

export_image() {
  [[ ! -e $2 ]] || return 0
  mkdir -p "$(dirname "$2")" && rm -rf "$2.part"
  podman save --quiet --format oci-dir --uncompressed --output "$2.part" "$1" && mv "$2.part" "$2"
}
