{{- define "service.scaling" -}}
{{- with .Values.autoscaling }}
{{- include "service.head" (dict "root" $ "api" "autoscaling/v2" "kind" "HorizontalPodAutoscaler") }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ $.Values.kind }}, name: {{ $.Release.Name }}}
  minReplicas: {{ .min | default 1 }}
  maxReplicas: {{ .max }}
  metrics:
    {{- range $name, $percent := pick . "cpu" "memory" | default (dict "cpu" 80) }}
    - {type: Resource, resource: {name: {{ $name }}, target: {type: Utilization, averageUtilization: {{ $percent }}}}}
    {{- end }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
---
{{ include "service.head" (dict "root" $ "api" "policy/v1" "kind" "PodDisruptionBudget") }}
spec:
  selector: {matchLabels: {{ include "service.selectorLabels" $ }}}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
