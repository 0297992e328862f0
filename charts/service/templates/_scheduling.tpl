{{/* Where the pods may run, and what they pull images with. */}}
{{- define "service.scheduling" -}}
{{- $labels := dict "node" "kubernetes.io/hostname" "zone" "topology.kubernetes.io/zone" -}}
{{- /* The labels of spot nodes, which are also their taints, at the large providers and with Karpenter. */ -}}
{{- $spot := ternary (dict
  "cloud.google.com/gke-spot" "true"
  "eks.amazonaws.com/capacityType" "SPOT"
  "karpenter.sh/capacity-type" "spot"
  "kubernetes.azure.com/scalesetpriority" "spot") dict (eq true .Values.spot) }}
imagePullSecrets:
  {{- range include "service.wanted" .Values.pullSecrets | fromYamlArray }}
  - {name: {{ . }}}
  {{- end }}
tolerations:
  {{- range .Values.tolerations }}
  - {{ toJson . }}
  {{- end }}
  {{- range $key, $value := $spot }}
  - {key: {{ $key }}, operator: Equal, value: {{ quote $value }}, effect: NoSchedule}
  {{- end }}
topologySpreadConstraints:
  {{- $spread := .Values.spread | default dict }}
  {{- $spreads := and (eq true .Values.spot) (not (hasKey $spread "kubernetes.io/hostname")) }}
  {{- range $key, $rule := merge $spread (ternary (dict "node" "ScheduleAnyway") dict $spreads) }}
  {{- $fields := ternary $rule (dict "whenUnsatisfiable" $rule) (kindIs "map" $rule) }}
  {{- $selector := dict "matchLabels" (include "service.selectorLabels" $ | fromJson) }}
  {{- $fixed := dict "topologyKey" (get $labels $key | default $key) "labelSelector" $selector }}
  - {{ merge $fixed $fields (dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway") | toJson }}
  {{- end }}
affinity:
  {{- with $spot }}
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      {{- range $key, $value := . }}
      - {weight: 100, preference: {matchExpressions: [{key: {{ $key }}, operator: In, values: [{{ quote $value }}]}]}}
      {{- end }}
  {{- end }}
  {{- with .Values.apart }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      {{- $selector := dict "matchLabels" (include "service.selectorLabels" $ | fromJson) }}
      - weight: 100
        podAffinityTerm: {topologyKey: {{ get $labels . | default . }}, labelSelector: {{ toJson $selector }}}
  {{- end }}
{{- end }}
