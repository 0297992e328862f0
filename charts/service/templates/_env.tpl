{{/* The reference of a variable. Parameters: root, ref. */}}
{{- define "service.valueFrom" -}}
{{- $optional := ternary ", optional: true" "" (eq true .ref.optional) -}}
{{- if .ref.secret }}
{{- $name := include "service.secretName" (dict "root" .root "name" .ref.secret) }}
secretKeyRef: {name: {{ $name }}, key: {{ quote .ref.key }}{{ $optional }}}
{{- else if .ref.config }}
configMapKeyRef: {name: {{ .ref.config }}, key: {{ quote .ref.key }}{{ $optional }}}
{{- else if .ref.resource }}
resourceFieldRef: {resource: {{ .ref.resource }}}
{{- else }}
fieldRef: {fieldPath: {{ quote .ref.field }}}
{{- end }}
{{- end }}

{{/*
Environment variables. Kubernetes replaces $(NAME) only if NAME comes first: references come before plain values, and a
plain value comes after those that it names. Parameters: root, env.
*/}}
{{- define "service.env" -}}
{{- $root := .root -}}
{{- $env := .env -}}
{{- $left := dict -}}
{{- range $name, $value := $env }}
{{- if kindIs "map" $value }}
- name: {{ $name }}
  valueFrom: {{- include "service.valueFrom" (dict "root" $root "ref" $value) | indent 4 }}
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
