{{/* Where the pods may run, and what they pull images with. */}}
{{- define "service.scheduling" -}}
imagePullSecrets:
  {{- range include "service.wanted" .Values.pullSecrets | fromYamlArray }}
  - {name: {{ . }}}
  {{- end }}
tolerations:
  {{- include "service.listed" .Values.tolerations | nindent 2 }}
  {{- range $key, $value := include "service.spotLabels" . | fromYaml }}
  - {key: {{ $key }}, operator: Equal, value: {{ quote $value }}, effect: NoSchedule}
  {{- end }}
topologySpreadConstraints:
  {{- $spread := .Values.spread | default dict }}
  {{- $spreads := and (eq true .Values.spot) (not (hasKey $spread "kubernetes.io/hostname")) }}
  {{- range $key, $rule := merge $spread (ternary (dict "node" "ScheduleAnyway") dict $spreads) }}
  {{- $fields := ternary $rule (dict "whenUnsatisfiable" $rule) (kindIs "map" $rule) }}
  {{- $selector := dict "matchLabels" (include "service.selectorLabels" $ | fromJson) }}
  {{- $fixed := dict "topologyKey" (include "service.topologyKey" $key) "labelSelector" $selector }}
  - {{ merge $fixed $fields (dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway") | toJson }}
  {{- end }}
affinity:
  {{- with include "service.spotLabels" . | fromYaml }}
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      {{- range $key, $value := . }}
      - weight: 100
        preference: {matchExpressions: [{key: {{ $key }}, operator: In, values: [{{ quote $value }}]}]}
      {{- end }}
  {{- end }}
  {{- with .Values.apart }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: {{ include "service.topologyKey" . }}
          labelSelector: {matchLabels: {{ include "service.selectorLabels" $ }}}
  {{- end }}
{{- end }}

{{/* `node` and `zone` are short for the labels that every node has. */}}
{{- define "service.topologyKey" -}}
{{- get (dict "node" "kubernetes.io/hostname" "zone" "topology.kubernetes.io/zone") . | default . -}}
{{- end }}

{{/* The labels of spot nodes, which are also their taints, at the large providers and with Karpenter. */}}
{{- define "service.spotLabels" -}}
{{- if .Values.spot }}
cloud.google.com/gke-spot: "true"
eks.amazonaws.com/capacityType: SPOT
karpenter.sh/capacity-type: spot
kubernetes.azure.com/scalesetpriority: spot
{{- end }}
{{- end }}
