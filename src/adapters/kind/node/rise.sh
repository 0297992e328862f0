# Takes rest.sh back as long as it has ended no pod; fails when it is too late for that.
rm /run/cmdr-rest 2>/dev/null && systemctl start kubelet
