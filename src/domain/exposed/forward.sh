# Forwards ports of this container to a cluster, by rules of the kernel. All names are resolved again every two seconds,
# so that the rules follow a Service, a Pod or a node with a new address.
#
# $1: the container of the node; $2 and $3: the networks of Services and Pods, which it is the way to;
# then PROTOCOL PORT NAME TARGET for each port.
node=$1 networks="$2 $3"
shift 3
forwards=("$@")
declare -A known

# Sets known[$1] to an address of $1. A name without an answer keeps its address, and one of several addresses is kept
# while it is among the answers.
resolve() {
  local found
  found=$(getent ahostsv4 "$1" | while read -r address _; do echo "$address"; done)
  [[ -n $found ]] || return
  [[ -n ${known[$1]} && $'\n'$found$'\n' == *$'\n'${known[$1]}$'\n'* ]] || known[$1]=${found%%$'\n'*}
}

# Some kernels have only one of the two.
tables=nft
iptables-nft -t nat -nL >/dev/null 2>&1 || tables=legacy

applied=
while :; do
  resolve "$node"
  for network in $networks; do
    [[ -z ${known[$node]} ]] || ip route replace "$network" via "${known[$node]}"
  done
  rules=$'*nat\n:CMDR - [0:0]\n'
  for ((at = 0; at < ${#forwards[@]}; at += 4)); do
    resolve "${forwards[at + 2]}"
    address=${known[${forwards[at + 2]}]}
    [[ -z $address ]] || rules+="-A CMDR -p ${forwards[at]} --dport ${forwards[at + 1]} -j DNAT --to-destination $address:${forwards[at + 3]}"$'\n'
  done
  if [[ $rules != "$applied" ]] && "iptables-$tables-restore" --noflush <<<"${rules}COMMIT"; then
    if [[ -z $applied ]]; then
      "iptables-$tables" -t nat -A PREROUTING -j CMDR
      "iptables-$tables" -t nat -A POSTROUTING -j MASQUERADE
    fi
    applied=$rules
    # Otherwise packets of one UDP client go on to the old address.
    conntrack -D -p udp >/dev/null 2>&1
  fi
  touch /run/forwarding
  sleep 2
done
