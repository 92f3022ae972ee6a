# Builds the project's images and sends them to the nodes. A tag is the hash of what the image is made of.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # sourced by ../cluster, which sets and reads more

all_images=(operator converter triton-cpu store)
images_by_name=(converter-torch) # several GB: built only where it is named, and sent to one worker alone

# image_sources NAME: the files that decide the image's content, relative to the repository.
image_sources() {
  printf '%s\n' Dockerfile images/install
  case $1 in
    operator) printf '%s\n' requirements/operator.txt images/operator operator ;;
    converter) printf '%s\n' requirements/converter.txt images/operator operator ;;
    converter-torch) printf '%s\n' requirements/converter.txt requirements/torch.txt images/operator operator ;;
    triton-cpu) printf '%s\n' requirements/triton.txt images/triton-cpu ;;
    store) printf '%s\n' tests/cluster/versions.env ;;
    *) die "no image named '$1'; known: ${all_images[*]} ${images_by_name[*]}" ;;
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
    send_image "$name" "$tag"
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

# send_image NAME TAG: to the workers. kind's own way sends every layer; with podman only the layers that a node lacks are sent.
# An image that few pods need goes to the last worker, whose label tells them: tightship.dev/has-NAME.
send_image() {
  local node nodes lacking=() layout=$cache/layers
  mapfile -t nodes < <(kind get nodes --name "$cluster" 2>/dev/null | grep worker | sort)
  if [[ " ${images_by_name[*]} " == *" $1 "* ]]; then
    nodes=("${nodes[-1]}") layout=$cache/layers-of-$1
    kubectl label node "${nodes[0]}" "tightship.dev/has-$1=true" --overwrite >/dev/null
  fi
  for node in "${nodes[@]}"; do
    [[ -n $("$engine" exec "$node" ctr -n k8s.io images ls -q "name==$2") ]] || lacking+=("$node")
  done
  ((${#lacking[@]})) || return 0
  say "sending ${2##*/} to ${lacking[*]}"
  if [[ $engine == docker ]]; then
    kind load docker-image "$2" --name "$cluster" --nodes "$(IFS=, && echo "${lacking[*]}")" >"$state/load.log" 2>&1 ||
      die "loading $2 failed, see $state/load.log"
  else
    send_missing_layers "$layout" "$2" "${lacking[@]}"
  fi
}

# send_missing_layers LAYOUT TAG NODE...: one layout in the cache holds every layer once, so that only new layers are written to it
# too. Several GB are compressed instead, and not kept a second time: the disk is what they take most of.
send_missing_layers() {
  local name=${2##*/} form=(--dest-oci-accept-uncompressed-layers)
  [[ $1 == "$cache/layers" ]] || form=(--dest-compress-format zstd --dest-compress-level 1)
  need_packages skopeo=skopeo
  locked layers skopeo copy --quiet "${form[@]}" "containers-storage:$2" "oci:$1:$name" 2>"$state/load.log"
  for node in "${@:3}"; do python3 "$here/send_image.py" "$1" "$2" "$node"; done
  [[ $1 == "$cache/layers" ]] || rm -rf "$1"
}
