{{/* Environment variables. Kubernetes replaces $(NAME) only if NAME comes first: references come before plain values, and a
plain value comes after those that it names. Parameters: root, env. */}}
{{- define "service.env" -}}
{{- $root := .root -}}
{{- $env := .env -}}
{{- $left := dict -}}
{{- range $name, $value := $env }}
{{- if kindIs "map" $value }}
{{- $key := pick $value "key" "optional" }}
{{- $from := dict "fieldRef" (dict "fieldPath" $value.field) }}
{{- if $value.secret }}
{{- $secret := include "service.secretName" (dict "root" $root "name" $value.secret) }}
{{- $from = dict "secretKeyRef" (set $key "name" $secret) }}
{{- else if $value.config }}{{ $from = dict "configMapKeyRef" (set $key "name" $value.config) }}
{{- else if $value.resource }}{{ $from = dict "resourceFieldRef" (pick $value "resource") }}{{ end }}
- {{ dict "name" $name "valueFrom" $from | toJson }}
{{- else }}
{{- /* `$$` first: it is an escaped `$`. */}}
{{- $_ := set $left $name (regexFindAll "\\$\\$|\\$\\([^)]*\\)" (toString $value) -1) }}
{{- end }}
{{- end }}
{{- range until (len $left) }}
{{- range $name, $refs := $left }}
{{- $waits := false }}
{{- range $refs }}
{{- $other := . | trimPrefix "$(" | trimSuffix ")" }}
{{- if and (ne $other $name) (hasKey $left $other) }}{{ $waits = true }}{{ end }}
{{- end }}
{{- if not $waits }}
{{- $_ := unset $left $name }}
- {{ dict "name" $name "value" (include "service.text" (index $env $name)) | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- if $left }}{{ fail (printf "cycle between variables of `env`: %s" (keys $left | sortAlpha | join ", ")) }}{{ end }}
{{- end }}
