{{- define "service.extra" -}}
{{- with .Values.serviceAccount }}
{{- if .create }}
{{- include "service.head" (dict "root" $ "api" "v1" "kind" "ServiceAccount" "name" .name "annotations" .annotations) }}
automountServiceAccountToken: false
{{- end }}
{{- end }}
{{- range $name, $object := .Values.extraObjects }}
---
{{- $metadata := dict "name" (printf "%s-%s" $.Release.Name $name) "labels" (include "service.labels" $ | fromJson) }}
{{ if $object }}{{ merge $object (dict "metadata" $metadata) | toJson }}{{ end }}
{{- end }}
{{- end }}
