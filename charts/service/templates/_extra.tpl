{{- define "service.extra" -}}
{{- with .Values.serviceAccount }}
{{- if .create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name | default $.Release.Name }}
  labels: {{- include "service.labels" $ | nindent 4 }}
  {{- with include "service.strings" .annotations }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}
{{- range $name, $object := include "service.present" .Values.extraObjects | fromJson }}
---
{{- $labels := dict "metadata" (dict "name" (printf "%s-%s" $.Release.Name $name) "labels" (include "service.labels" $ | fromYaml)) }}
{{ merge (deepCopy $object) $labels | toYaml }}
{{- end }}
{{- end }}
