{{- define "service.configuration" -}}
{{- with include "service.strings" .Values.config }}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "service.metadata" $ | nindent 2 }}
data: {{- . | nindent 2 }}
{{- end }}
{{- with include "service.present" .Values.files | fromJson }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $.Release.Name }}-files
  labels: {{- include "service.labels" $ | nindent 4 }}
data:
  {{- range $path, $content := . }}
  {{ include "service.filesKey" $path }}: {{ toJson $content }}
  {{- end }}
{{- end }}
{{- end }}
