{{- define "service.configuration" -}}
{{- with include "service.strings" .Values.config }}
{{- include "service.head" (dict "root" $ "api" "v1" "kind" "ConfigMap") }}
data: {{- . | nindent 2 }}
{{- end }}
{{- with include "service.inlineFiles" . | fromJson }}
---
{{ include "service.head" (dict "root" $ "api" "v1" "kind" "ConfigMap" "name" (printf "%s-files" $.Release.Name)) }}
data:
  {{- range $path, $content := . }}
  {{ include "service.filesKey" $path }}: {{ toJson $content }}
  {{- end }}
{{- end }}
{{- end }}
