# Starts and deletes the kind cluster; what runs is kept only when it is whole, answers and was made from this recipe.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # sourced by ../cluster, which sets and reads more

cluster_up() {
  local recipe
  build_tools kind kubectl
  recipe=$(content tests/cluster/versions.env tests/cluster/node tests/cluster/tools tests/cluster/lib/kind.sh tests/cluster/lib/node-image.sh)
  if cluster_whole "$recipe"; then
    echo "$KUBECONFIG" && return
  fi
  delete_cluster
  choose_source
  [[ $source_kind == published ]] || build_node_image
  say "starting the cluster ($engine, $source_kind node image)"
  create_cluster || { delete_cluster && die "the cluster did not start, see $state/kind.log: $(tail -n 3 "$state/kind.log")"; }
  printf 'engine=%s\nsource_kind=%s\nrecipe=%s\n' "$engine" "$source_kind" "$recipe" >"$state/made"
  say "the cluster is ready"
  echo "$KUBECONFIG"
}

# cluster_whole RECIPE: whether a cluster that was completed by this recipe still answers with all its nodes.
cluster_whole() {
  local recipe=
  [[ -e $state/made ]] && source "$state/made" && [[ $recipe == "$1" ]] || return 1
  export KIND_EXPERIMENTAL_PROVIDER=$engine
  kubectl --request-timeout=5s get --raw /readyz >/dev/null 2>&1 &&
    kubectl wait --for=condition=Ready nodes --all --timeout=20s >/dev/null 2>&1 &&
    kubectl get --raw /api/v1/nodes --request-timeout=5s >/dev/null 2>&1 &&
    [[ $("$engine" ps -q --filter "label=io.x-k8s.kind.cluster=$cluster" | wc -l) == 3 ]]
}

create_cluster() {
  local image=$PUBLISHED_NODE_IMAGE network=
  [[ $source_kind == published ]] || { image=$OFFLINE_NODE_IMAGE network='networking: {disableDefaultCNI: true}'; }
  cat >"$state/kind.yaml" <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: $cluster
$network
nodes:
- {role: control-plane, image: "$image"}
- {role: worker, image: "$image"}
- {role: worker, image: "$image"}
kubeadmConfigPatches:
- |
  kind: KubeProxyConfiguration
  conntrack: {maxPerCore: 0, min: 0}
YAML
  kind create cluster --config "$state/kind.yaml" >"$state/kind.log" 2>&1 || return
  if [[ $source_kind == offline ]]; then connect_pods || return; fi
  kubectl wait --for=condition=Ready nodes --all --timeout=120s >>"$state/kind.log" 2>&1 &&
    kubectl -n kube-system rollout status deployment/coredns --timeout=120s >>"$state/kind.log" 2>&1
}

# A plain point-to-point network instead of kind's own, which is only published as an image: one subnet a node, routes between them.
connect_pods() {
  local nodes node subnet other address other_subnet
  nodes=$(kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.status.addresses[0].address} {.spec.podCIDR}{"\n"}{end}')
  while read -r node _ subnet; do
    pod_network "$subnet" | podman exec -i "$node" sh -c 'cat >/etc/cni/net.d/10-pods.conflist' || return
    while read -r other address other_subnet; do
      [[ $other == "$node" ]] || podman exec "$node" ip route replace "$other_subnet" via "$address" </dev/null || return
    done <<<"$nodes"
  done <<<"$nodes"
}

pod_network() {
  cat <<CNI
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "$1"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CNI
}

# Deletes whatever is left of the cluster under either engine, also when its processes were killed from outside.
delete_cluster() {
  local owner nodes
  rm -f "$state/made"
  for owner in docker podman; do
    { command -v "$owner" && "$owner" info; } >/dev/null 2>&1 || continue
    mapfile -t nodes < <("$owner" ps -aq --filter "label=io.x-k8s.kind.cluster=$cluster")
    if ((${#nodes[@]})); then
      say "deleting the cluster"
      "$owner" rm -f -v "${nodes[@]}" >/dev/null || die "$owner cannot remove the old cluster; remove its containers by hand"
    fi
    delete_volumes "$owner"
  done
  rm -f "$KUBECONFIG"
}

# With podman kind makes the volume of a node's /var itself, so that it does not go with the container. Its label is the node's name.
delete_volumes() {
  local node volumes=()
  for node in "$cluster"-{control-plane,worker,worker2}; do
    mapfile -t -O "${#volumes[@]}" volumes < <("$1" volume ls -q --filter "label=$node")
  done
  ((${#volumes[@]})) || return 0
  "$1" volume rm "${volumes[@]}" >/dev/null || die "$1 cannot remove the old cluster's volumes; remove them by hand: ${volumes[*]}"
}
