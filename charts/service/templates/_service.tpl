{{- define "service.service" -}}
{{- if include "service.isServer" . }}
{{- $ports := include "service.ports" .Values.ports | fromJson }}
{{- $service := .Values.service | default dict }}
apiVersion: v1
kind: Service
metadata:
  {{- include "service.metadata" . | nindent 2 }}
  {{- with include "service.strings" $service.annotations }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $service.type | default "ClusterIP" }}
  {{- if $service.headless }}
  clusterIP: None
  {{- end }}
  {{- range $key, $value := pick $service "externalTrafficPolicy" "loadBalancerClass" "sessionAffinity" }}
  {{ $key }}: {{ $value }}
  {{- end }}
  {{- with include "service.wanted" $service.sourceRanges | fromJsonArray }}
  loadBalancerSourceRanges: {{ toJson . }}
  {{- end }}
  selector: {{- include "service.selectorLabels" . | nindent 4 }}
  ports:
    {{- range $name, $port := $ports }}
    - {{ include "service.servicePort" (dict "name" $name "port" $port) }}
    {{- end }}
{{- range $alias := include "service.wanted" .Values.aliases | fromJsonArray }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $alias }}
  labels: {{- include "service.labels" $ | nindent 4 }}
spec:
  {{- if $service.headless }}
  clusterIP: None
  {{- end }}
  selector: {{- include "service.selectorLabels" $ | nindent 4 }}
  ports:
    {{- range $name, $port := $ports }}
    - {{ include "service.servicePort" (dict "name" $name "port" (omit $port "nodePort")) }}
    {{- end }}
{{- end }}{{ end }}
{{- if eq .Values.kind "StatefulSet" }}
---
{{- /* Creates a DNS name for each pod. */}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}-pods
  labels: {{- include "service.labels" . | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "service.selectorLabels" . | nindent 4 }}
{{- end }}
{{- end }}
