{{/* Ports: name -> {port, service, protocol, appProtocol, nodePort, hostPort}. The Service port of `http` is 80. */}}
{{- define "service.ports" -}}
{{- $out := dict -}}
{{- range $name, $value := . -}}
{{- $port := ternary $value (dict "port" $value) (kindIs "map" $value) -}}
{{- $_ := set $out $name (merge $port (dict "service" (ternary 80 $port.port (eq $name "http")) "protocol" "TCP")) -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{- define "service.containerPorts" -}}
{{- range $name, $port := include "service.ports" . | fromJson }}
- {{ merge (dict "name" $name "containerPort" $port.port) (pick $port "protocol" "hostPort") | toJson }}
{{- end }}
{{- end }}

{{- define "service.servicePorts" -}}
{{- range $name, $port := include "service.ports" . | fromJson }}
{{- $own := dict "name" $name "port" $port.service "targetPort" $port.port }}
- {{ merge $own (pick $port "protocol" "appProtocol" "nodePort") | toJson }}
{{- end }}
{{- end }}

{{/* The name of the first port: http, or the first by name; empty without ports. */}}
{{- define "service.firstPort" -}}
{{- $ports := include "service.ports" . | fromJson -}}
{{- if hasKey $ports "http" }}http{{ else }}{{ keys $ports | sortAlpha | first | default "" }}{{ end -}}
{{- end }}

{{/* The ports of all containers: name -> number. Parameter: the values. */}}
{{- define "service.namedPorts" -}}
{{- $out := dict -}}
{{- range $containers := list .initContainers .sidecars (dict "main" .) -}}
{{- range $container := $containers -}}
{{- range $name, $port := include "service.ports" .ports | fromJson }}{{ $_ := set $out $name $port.port }}{{ end -}}
{{- end }}{{ end -}}
{{- toJson $out -}}
{{- end }}

{{/* `true` if the workload has a Service. */}}
{{- define "service.isServer" -}}
{{- $isJob := has .Values.kind (list "Job" "CronJob") -}}
{{- if and (not $isJob) (include "service.firstPort" .Values.ports) }}true{{ end -}}
{{- end }}
