# Routes the Service `kubernetes` to this node's API before kube-proxy runs. Otherwise pods that start before kube-proxy
# fail to reach it, and wait longer before each retry. kube-proxy inserts its own rules before these, with the same
# effect.
set -eu
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
[ -f $manifest ] || exit 0
argument() { sed -n "s/.*--$1=\([0-9.]*\).*/\1/p" $manifest; }
range=$(argument service-cluster-ip-range)
node=$(argument advertise-address)
for chain in PREROUTING OUTPUT; do
  rule="$chain --destination ${range%.*}.1/32 --protocol tcp --dport 443 --jump DNAT --to-destination $node:6443"
  iptables --table nat --check $rule 2>/dev/null || iptables --table nat --append $rule
done
