{{- define "service.scaling" -}}
{{- with .Values.autoscaling }}
{{- include "service.head" (dict "root" $ "api" "autoscaling/v2" "kind" "HorizontalPodAutoscaler") }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ $.Values.kind }}, name: {{ $.Release.Name }}}
  minReplicas: {{ .min | default 1 }}
  maxReplicas: {{ .max }}
  {{- with .behavior }}
  behavior: {{ toJson . }}
  {{- end }}
  metrics:
    {{- $default := ternary dict (dict "cpu" 80) (empty .metrics | not) }}
    {{- range $name, $percent := pick . "cpu" "memory" | default $default }}
    - {type: Resource, resource: {name: {{ $name }}, target: {type: Utilization, averageUtilization: {{ $percent }}}}}
    {{- end }}
    {{- range $name, $metric := .metrics }}
    {{- $target := dict "type" "AverageValue" "averageValue" (include "service.text" $metric) }}
    {{- $own := dict "type" "Pods" "pods" (dict "metric" (dict "name" $name) "target" $target) }}
    - {{ ternary $metric $own (kindIs "map" $metric) | toJson }}
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
