{{/* A map with a fragment merged into it, if there is one. Maps are merged by key, and lists by the key that Kubernetes
merges them by; other lists are replaced. Parameters: base, patch. */}}
{{- define "service.merged" -}}
{{- $out := .base -}}
{{- $patch := .patch | default dict -}}
{{- /* A probe or hook has one handler: that of the fragment replaces another one. */ -}}
{{- if pick $patch "exec" "grpc" "httpGet" "sleep" "tcpSocket" -}}
{{- $out = omit $out "exec" "grpc" "httpGet" "sleep" "tcpSocket" -}}
{{- end -}}
{{- range $key, $value := $patch -}}
{{- $old := index $out $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- $value = include "service.merged" (dict "base" $old "patch" $value) | fromJson -}}
{{- else if and (kindIs "slice" $value) (kindIs "slice" $old) -}}
{{- with get (include "service.mergeKeys" (first $old) | fromYaml) $key -}}
{{- $value = include "service.mergedList" (dict "key" . "base" $old "patch" $value) | fromJsonArray -}}
{{- end }}{{ end -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{- define "service.mergedList" -}}
{{- $out := .base -}}
{{- range $item := .patch -}}
{{- $others := list -}}
{{- range $old := $out -}}
{{- if ne (toString (index $old $.key)) (toString (index $item $.key)) }}{{ $others = append $others $old -}}
{{- else }}{{ $item = include "service.merged" (dict "base" $old "patch" $item) | fromJson }}{{ end -}}
{{- end -}}
{{- $out = append $others $item -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{/* The keys that items are merged by: `patchMergeKey` of Kubernetes' API. Parameter: the first item of the list. */}}
{{- define "service.mergeKeys" -}}
env: name
hostAliases: ip
imagePullSecrets: name
ports: {{ ternary "containerPort" "port" (contains "containerPort" (toJson .)) }}
topologySpreadConstraints: topologyKey
volumeDevices: devicePath
volumeMounts: mountPath
volumes: name
{{- end }}
