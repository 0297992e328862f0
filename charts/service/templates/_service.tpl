{{- define "service.service" -}}
{{- $service := .Values.service | default dict }}
{{- $selector := include "service.selectorLabels" . }}
{{- if $service.shared }}
{{- $labels := include "service.podLabels" . | fromJson }}
{{- $selector = pick $labels "app.kubernetes.io/name" "app.kubernetes.io/part-of" | toJson }}
{{- end }}
{{- if include "service.isServer" . }}
{{- $spec := merge (pick $service "externalTrafficPolicy" "loadBalancerClass" "sessionAffinity") (dict
  "type" ($service.type | default "ClusterIP")
  "clusterIP" (ternary "None" nil (eq true $service.headless))
  "loadBalancerSourceRanges" (include "service.wanted" $service.sourceRanges | fromYamlArray)
  "selector" (fromJson $selector)
  "ports" (include "service.servicePorts" .Values.ports | fromYamlArray)) }}
{{- include "service.head" (dict "root" . "api" "v1" "kind" "Service" "annotations" $service.annotations) }}
spec: {{ include "service.given" $spec }}
{{- range $alias := include "service.wanted" .Values.aliases | fromYamlArray }}
---
{{- $ports := list }}
{{- range $spec.ports }}{{ $ports = append $ports (omit . "nodePort") }}{{ end }}
{{- $label := dict "cmdr.dev/alias" "true" }}
{{ include "service.head" (dict "root" $ "api" "v1" "kind" "Service" "name" $alias "labels" $label) }}
spec: {{ merge (dict "ports" $ports) (pick $spec "clusterIP" "selector") | include "service.given" }}
{{- end }}
{{- end }}
{{- if eq .Values.kind "StatefulSet" }}
---
{{- /* Creates a DNS name for each pod. */}}
{{ include "service.head" (dict "root" . "api" "v1" "kind" "Service" "name" (printf "%s-pods" .Release.Name)) }}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {{ include "service.selectorLabels" . }}}
{{- end }}
{{- end }}
