# Leads the Service `kubernetes` to this node's API before kube-proxy runs: pods that wake sooner than kube-proxy would
# fail to reach it, and wait longer each time. What kube-proxy writes later comes first in the chains and says the same.
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
