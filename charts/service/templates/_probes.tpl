{{- define "service.probeTimings" -}}
startup: {periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 120}
readiness: {periodSeconds: 2, timeoutSeconds: 3, failureThreshold: 5}
liveness: {periodSeconds: 10, timeoutSeconds: 3, failureThreshold: 3}
{{- end }}

{{/* The probes of a container. A startup probe is only added together with a liveness probe, to delay it. Otherwise it would
delay readiness by about a second: kubelet checks it one period later. Parameters: as of service.container. */}}
{{- define "service.probes" -}}
{{- $container := .container -}}
{{- $probes := $container.probes | default dict -}}
{{- $isServer := and (eq .role "main") (eq "true" (include "service.isServer" .root)) -}}
{{- $isReady := or (kindIs "map" $probes.readiness) (and $isServer (ne (toString $probes.readiness) "false")) -}}
{{- $isAlive := kindIs "map" $probes.liveness -}}
{{- $delaysAlive := and $isReady $isAlive (ne (toString $probes.startup) "false") -}}
{{- $isStarting := or (kindIs "map" $probes.startup) $delaysAlive -}}
{{- $wanted := dict "startup" $isStarting "readiness" $isReady "liveness" $isAlive -}}
{{- $ports := include "service.namedPorts" .root.Values | fromJson -}}
{{- with include "service.firstPort" $container.ports -}}
{{- $_ := set $ports "" (index (include "service.ports" $container.ports | fromJson) .).port -}}
{{- end -}}
{{- range $name, $timing := include "service.probeTimings" . | fromYaml }}
{{- if and (index $wanted $name) (ne $.role "init") }}
{{- $probe := dict "probe" (get $probes $name) "readiness" $probes.readiness "timing" $timing "ports" $ports }}
{{ $name }}Probe: {{ include "service.probe" $probe }}
{{- end }}{{ end }}
{{- end }}

{{/* One probe, with its own check or that of the readiness probe; by default, a port must accept a TCP connection.
Parameters: probe, readiness, timing, ports: name -> number, and the first one without a name. */}}
{{- define "service.probe" -}}
{{- $probe := ternary .probe dict (kindIs "map" .probe) -}}
{{- $hasCheck := or $probe.path $probe.port $probe.tcp $probe.grpc $probe.exec -}}
{{- $check := ternary $probe .readiness (or (not (empty $hasCheck)) (not (kindIs "map" .readiness))) -}}
{{- $port := $check.grpc | default $check.tcp | default $check.port | default "" -}}
{{- $port = ternary (get .ports (toString $port)) $port (kindIs "string" $port) -}}
{{- $headers := list -}}
{{- range $name, $value := $check.headers }}{{ $headers = append $headers (dict "name" $name "value" $value) }}{{ end -}}
{{- $request := dict "path" $check.path "port" $port "scheme" $check.scheme "httpHeaders" $headers -}}
{{- $handler := dict "tcpSocket" (dict "port" $port) -}}
{{- if $check.exec }}{{ $handler = dict "exec" (dict "command" $check.exec) -}}
{{- else if not $port }}{{ fail "a probe has no port, and its container has no `ports`" -}}
{{- else if $check.grpc }}{{ $handler = dict "grpc" (merge (dict "port" $port) (pick $check "service")) -}}
{{- else if $check.path }}{{ $handler = dict "httpGet" (include "service.given" $request | fromJson) }}{{ end -}}
{{- $timing := omit $probe "path" "port" "scheme" "tcp" "grpc" "service" "headers" "exec" -}}
{{- merge $handler $timing .timing | toJson -}}
{{- end }}
