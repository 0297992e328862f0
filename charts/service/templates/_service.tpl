{{- define "service.service" -}}
{{- $service := .Values.service | default dict }}
{{- $selector := include "service.selectorLabels" . }}
{{- if include "service.isServer" . }}
{{- $ports := include "service.servicePorts" .Values.ports | fromYamlArray }}
{{- include "service.head" (dict "root" . "api" "v1" "kind" "Service" "annotations" $service.annotations) }}
spec: {{ include "service.given" (dict
  "type" ($service.type | default "ClusterIP")
  "clusterIP" (ternary "None" nil (eq true $service.headless))
  "externalTrafficPolicy" $service.externalTrafficPolicy
  "loadBalancerClass" $service.loadBalancerClass
  "sessionAffinity" $service.sessionAffinity
  "loadBalancerSourceRanges" (include "service.wanted" $service.sourceRanges | fromYamlArray)
  "selector" (fromJson $selector)
  "ports" $ports) }}
{{- range $alias := include "service.wanted" .Values.aliases | fromYamlArray }}
---
{{ include "service.head" (dict "root" $ "api" "v1" "kind" "Service" "name" $alias) }}
spec:
  {{- if $service.headless }}
  clusterIP: None
  {{- end }}
  selector: {{ $selector }}
  ports:
    {{- range $ports }}
    - {{ omit . "nodePort" | toJson }}
    {{- end }}
{{- end }}
{{- end }}
{{- if eq .Values.kind "StatefulSet" }}
---
{{- /* Creates a DNS name for each pod. */}}
{{ include "service.head" (dict "root" . "api" "v1" "kind" "Service" "name" (printf "%s-pods" .Release.Name)) }}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {{ $selector }}}
{{- end }}
{{- end }}
