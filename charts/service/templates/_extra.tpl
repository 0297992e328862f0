{{- define "service.extra" -}}
{{- range $name, $object := .Values.extraObjects }}
---
{{- $metadata := dict "name" (printf "%s-%s" $.Release.Name $name) "labels" (include "service.labels" $ | fromJson) }}
{{ if $object }}{{ merge $object (dict "metadata" $metadata) | toJson }}{{ end }}
{{- end }}
{{- end }}
