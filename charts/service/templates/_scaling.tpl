{{- define "service.scaling" -}}
{{- with .Values.autoscaling }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "service.metadata" $ | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ $.Values.kind }}, name: {{ $.Release.Name }}}
  minReplicas: {{ int (.min | default 1) }}
  maxReplicas: {{ int .max }}
  metrics:
    {{- $targets := pick . "cpu" "memory" }}
    {{- range $name, $percent := ternary $targets (dict "cpu" 80) (gt (len $targets) 0) }}
    - {type: Resource, resource: {name: {{ $name }}, target: {type: Utilization, averageUtilization: {{ int $percent }}}}}
    {{- end }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "service.metadata" $ | nindent 2 }}
spec:
  selector:
    matchLabels: {{- include "service.selectorLabels" $ | nindent 6 }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
