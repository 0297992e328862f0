{{/* Where the pods may run, and what they pull images with. */}}
{{- define "service.scheduling" -}}
imagePullSecrets:
  {{- range include "service.wanted" .Values.pullSecrets | fromYamlArray }}
  - {name: {{ . }}}
  {{- end }}
tolerations:
  {{- range .Values.tolerations }}
  - {{ toJson . }}
  {{- end }}
  {{- range $key, $value := include "service.spotLabels" . | fromYaml }}
  - {key: {{ $key }}, operator: Equal, value: {{ quote $value }}, effect: NoSchedule}
  {{- end }}
topologySpreadConstraints:
  {{- $spread := .Values.spread | default dict }}
  {{- $onNodes := ternary (dict "node" "ScheduleAnyway") dict (eq true .Values.spot) }}
  {{- if or (hasKey $spread "node") (hasKey $spread "kubernetes.io/hostname") }}{{ $onNodes = dict }}{{ end }}
  {{- range $key, $rule := merge $spread $onNodes }}
  - {{ include "service.spreadRule" (dict "root" $ "key" $key "rule" $rule) }}
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

{{/* A rule that spreads the pods over the values of a node's label. Parameters: root, key, rule: a mode, or fields. */}}
{{- define "service.spreadRule" -}}
{{- $rule := ternary .rule (dict "whenUnsatisfiable" .rule) (kindIs "map" .rule) -}}
{{- $fixed := dict
  "topologyKey" (include "service.topologyKey" .key)
  "labelSelector" (dict "matchLabels" (include "service.selectorLabels" .root | fromJson)) -}}
{{- merge $fixed $rule (dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway") | toJson -}}
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
