{{- define "service.workload" -}}
{{- $parts := dict "Job" "job" "CronJob" "cronJob" -}}
{{- include (printf "service.%s" (get $parts .Values.kind | default "replicated")) . }}
{{- range $name, $spec := ternary dict (include "service.claims" . | fromJson) (eq .Values.kind "StatefulSet") }}
---
{{ include "service.head" (dict
  "root" $ "api" "v1" "kind" "PersistentVolumeClaim" "name" (printf "%s-%s" $.Release.Name $name)
  "annotations" (dict "helm.sh/resource-policy" "keep")) }}
spec: {{ toJson $spec }}
{{- end }}
{{- end }}

{{/* A Deployment, StatefulSet or DaemonSet. */}}
{{- define "service.replicated" -}}
{{- $kind := .Values.kind -}}
{{- $isFixed := and (ne $kind "DaemonSet") (empty .Values.autoscaling) -}}
{{- $fields := dict
  "replicas" (ternary .Values.replicas nil $isFixed)
  "revisionHistoryLimit" 3
  "selector" (dict "matchLabels" (include "service.selectorLabels" . | fromJson))
  "minReadySeconds" (.Values.minReady | default nil)
  "template" (include "service.podTemplate" . | fromYaml) -}}
{{- include "service.head" (dict "root" . "api" "apps/v1" "kind" $kind "annotations" .Values.annotations) }}
spec: {{ merge $fields (include (printf "service.of%s" $kind) . | fromYaml) | include "service.given" }}
{{- end }}

{{- define "service.ofDeployment" -}}
progressDeadlineSeconds: {{ add (int .Values.progressDeadline) (int (.Values.minReady | default 0)) }}
{{- $recreates := eq (toString .Values.strategy) "Recreate" }}
{{- range include "service.claims" . | fromJson }}
{{- /* Pods on two nodes cannot mount the same volume: the old pod must stop first. */}}
{{- $recreates = or $recreates (hasPrefix "ReadWriteOnce" (first .accessModes)) }}
{{- end }}
{{- $rolling := include "service.rollingUpdate" (dict "strategy" .Values.strategy "surge" "25%" "unavailable" 0) }}
strategy: {{- ternary "type: Recreate" $rolling $recreates | nindent 2 }}
{{- end }}

{{- define "service.ofDaemonSet" -}}
{{- /* `Recreate` of the defaults is for Deployments. */}}
{{- with ternary .Values.strategy nil (kindIs "map" .Values.strategy) }}
{{- $limits := dict "strategy" . "surge" 0 "unavailable" (ternary 0 1 (hasKey . "surge")) }}
updateStrategy: {{- include "service.rollingUpdate" $limits | nindent 2 }}
{{- end }}
{{- end }}

{{- define "service.ofStatefulSet" -}}
serviceName: {{ .Release.Name }}-pods
{{- /* With ordered updates, a pod that never becomes ready would block its own fix. */}}
podManagementPolicy: {{ .Values.podManagement | default "Parallel" }}
{{- with .Values.updateStrategy }}
{{- $partition := dict "type" "RollingUpdate" "rollingUpdate" (pick (ternary . dict (kindIs "map" .)) "partition") }}
updateStrategy: {{ ternary (dict "type" .) $partition (kindIs "string" .) | toJson }}
{{- end }}
volumeClaimTemplates:
  {{- range $name, $spec := include "service.claims" . | fromJson }}
  - {metadata: {name: {{ $name }}, labels: {{ include "service.selectorLabels" $ }}}, spec: {{ toJson $spec }}}
  {{- end }}
{{- end }}

{{/* The limits of a rolling update. Parameters: strategy; surge and unavailable: the defaults. 0 is a value. */}}
{{- define "service.rollingUpdate" -}}
{{- $limits := mergeOverwrite (pick . "surge" "unavailable") (ternary .strategy dict (kindIs "map" .strategy)) -}}
type: RollingUpdate
rollingUpdate: {maxSurge: {{ $limits.surge }}, maxUnavailable: {{ $limits.unavailable }}}
{{- end }}
