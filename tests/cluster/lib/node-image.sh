# A kind node image from Go modules and Debian packages, for machines that reach no image registry.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # sourced by ../cluster, which sets and reads more

# Registry certificates of the host, so that apt and pip inside a build trust what the host trusts.
offline_build=(podman build --quiet --network host --volume /etc/ssl/certs:/etc/ssl/certs:ro)

build_node_image() { locked node-image make_node_image; }

make_node_image() {
  local recipe work
  need_offline_host
  recipe=$(content tests/cluster/versions.env tests/cluster/node tests/cluster/tools tests/cluster/lib/node-image.sh)
  [[ $(podman image inspect -f '{{index .Labels "tightship.dev/recipe"}}' "$OFFLINE_NODE_IMAGE" 2>/dev/null) != "$recipe" ]] || return 0
  build_tools "${node_tools[@]}"
  make_base_image
  work=$(mktemp -d)
  make_control_plane_images "$work"
  say "making $OFFLINE_NODE_IMAGE"
  cp -r "$here/node" "$work/node" && mkdir "$work/node/bin" && cp "$bin"/{kubelet,kubeadm,kubectl} "$work/node/bin/"
  "${offline_build[@]}" --build-arg BASE_IMAGE="$OFFLINE_BASE_IMAGE" --build-arg KUBERNETES_VERSION="$KUBERNETES_VERSION" \
    --tag localhost/tightship-node-empty "$work/node" >"$work/log" 2>&1 || die "the node image failed: $(tail -n 5 "$work/log")"
  bake_images "$recipe" "$work"
  rm -rf "$work"
}

# kubeadm looks its images up by name: they are imported into the containerd of the node image when it is made.
bake_images() {
  local images
  mapfile -t images <"$2/images"
  podman rm -f -v tightship-bake >/dev/null 2>&1 || true
  podman run -d --privileged --name tightship-bake --entrypoint sleep localhost/tightship-node-empty infinity >/dev/null
  podman exec -d tightship-bake containerd >/dev/null
  timeout 30 sh -c 'until podman exec tightship-bake ctr version >/dev/null 2>&1; do sleep 0.2; done' || die "containerd does not start"
  podman save -m -q "${images[@]}" | podman exec -i tightship-bake ctr -n k8s.io images import --all-platforms --no-unpack - >/dev/null
  podman exec tightship-bake sh -c 'pid=$(pgrep -x containerd); kill $pid; tail --pid=$pid -f /dev/null; rm -rf /run/containerd'
  podman commit -q -c "LABEL tightship.dev/recipe=$1" -c 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' \
    tightship-bake "$OFFLINE_NODE_IMAGE" >/dev/null
  podman rm -f -v -t 0 tightship-bake >/dev/null
}

make_base_image() { podman image exists "$OFFLINE_BASE_IMAGE" || locked base-image debootstrap_base_image; }

debootstrap_base_image() {
  local root
  podman image exists "$OFFLINE_BASE_IMAGE" && return
  say "making $OFFLINE_BASE_IMAGE"
  root=$(mktemp -d)
  debootstrap --variant=minbase --include=ca-certificates "$DEBIAN_RELEASE" "$root" >"$cache/debootstrap.log" 2>&1 ||
    die "debootstrap failed, see $cache/debootstrap.log"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . | podman import -q - "$OFFLINE_BASE_IMAGE" >/dev/null
  rm -rf "$root"
}

make_control_plane_images() {
  local name component
  say "making the control plane's images"
  while read -r name; do
    echo "$name" >>"$1/images"
    case $name in
      */kube-proxy:*) proxy_base_image "$1" && image_of_binary "$name" localhost/tightship-iptables /usr/local/bin/kube-proxy "$1" ;;
      */coredns:*) image_of_binary "$name" scratch /coredns "$1" ;;
      */pause:*) image_of_binary "$name" scratch /pause "$1" ;;
      */etcd:*) image_of_binary "$name" scratch /usr/local/bin/etcd "$1" ;;
      *) component=${name##*/} && image_of_binary "$name" scratch "/usr/local/bin/${component%%:*}" "$1" ;;
    esac
  done < <("$bin/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION")
}

proxy_base_image() {
  printf 'FROM %s\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends iptables conntrack kmod >/dev/null && rm -rf /var/lib/apt/lists/*\n' \
    "$OFFLINE_BASE_IMAGE" >"$1/Containerfile"
  "${offline_build[@]}" --tag localhost/tightship-iptables --file "$1/Containerfile" "$1" >/dev/null
}

# image_of_binary NAME BASE PATH-IN-IMAGE WORK
image_of_binary() {
  local context=$4/context
  rm -rf "$context" && mkdir "$context" && cp "$bin/$(basename "$3")" "$context/"
  printf 'FROM %s\nCOPY --chmod=755 %s %s\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nENTRYPOINT ["%s"]\n' \
    "$2" "$(basename "$3")" "$3" "$3" >"$context/Containerfile"
  "${offline_build[@]}" --tag "$1" "$context" >/dev/null
}
