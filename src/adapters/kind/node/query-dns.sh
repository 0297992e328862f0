# Sends a query for `kubernetes.default.svc.cluster.local` over TCP to the DNS server at $1. Prints the header of the
# response as decimal bytes, preceded by the two bytes of its length.
exec 3<>"/dev/tcp/$1/53"
printf '\0\066\0\001\001\0\0\001\0\0\0\0\0\0' >&3
printf '\012kubernetes\007default\003svc\007cluster\005local\0\0\001\0\001' >&3
head -c 14 <&3 | od -A n -t u1
