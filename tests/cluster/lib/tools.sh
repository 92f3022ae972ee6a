# Commands built from Go modules, once, into the cache: the clients, the servers of integration tests, Kubernetes itself.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # sourced by ../cluster, which sets and reads more

test_tools=(kubectl kind helm kube-apiserver etcd versitygw registry oras fake-gcs-server kubeconform)
node_tools=(kubelet kubeadm kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd coredns kind pause)

# build_tools [NAME...]: makes sure of these commands, by default of those that tests call.
build_tools() {
  local name missing=()
  (($#)) || set -- "${test_tools[@]}"
  for name in "$@"; do [[ -x $bin/$name ]] || missing+=("$name"); done
  ((${#missing[@]})) || return 0
  need_go
  for name in "${missing[@]}"; do locked "tool-$name" build_tool "$name"; done
}

build_tool() {
  local part=$bin/.part-$1
  [[ ! -x $bin/$1 ]] || return 0
  say "building $1 (once; minutes where Go's cache is empty)"
  rm -rf "$part" && mkdir "$part"
  case $1 in
    kubelet | kubeadm | kubectl | kube-*) go_build kubernetes "k8s.io/kubernetes/cmd/$1" "$part/$1" "$(stamp)" ;;
    etcd) go_build etcd go.etcd.io/etcd/server/v3 "$part/$1" ;;
    coredns) go_install "github.com/coredns/coredns@$COREDNS_VERSION" "$part" ;;
    kind) go_install "sigs.k8s.io/kind@$KIND_VERSION" "$part" ;;
    helm) go_install "helm.sh/helm/v4/cmd/helm@$HELM_VERSION" "$part" ;;
    versitygw) go_install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION" "$part" ;;
    registry) go_install "github.com/distribution/distribution/v3/cmd/registry@$REGISTRY_VERSION" "$part" ;;
    oras) go_install "oras.land/oras/cmd/oras@$ORAS_VERSION" "$part" ;;
    fake-gcs-server) go_install "github.com/fsouza/fake-gcs-server@$FAKE_GCS_VERSION" "$part" ;;
    kubeconform) go_install "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM_VERSION" "$part" ;;
    pause) gcc -static -Os -s -o "$part/pause" "$here/node/pause.c" ;;
    *) die "no command named '$1'; known: ${test_tools[*]} ${node_tools[*]}" ;;
  esac
  mv "$part/$1" "$bin/$1" && rm -rf "$part"
}

go_build() { (cd "$here/tools/$1" && go build -trimpath -ldflags "-s -w ${4:-}" -o "$3" "$2") || die "building $2 failed"; }
go_install() { GOBIN=$2 go install -trimpath -ldflags '-s -w' "$1" || die "building $1 failed"; }

# The version that Kubernetes' commands tell: kubeadm compares it with the control plane's.
stamp() {
  local variable=k8s.io/component-base/version
  printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s -X %s.gitTreeState=clean' "$variable" "$KUBERNETES_VERSION" \
    "$variable" "$variable" "$(cut -d. -f2 <<<"$KUBERNETES_VERSION")" "$variable"
}
