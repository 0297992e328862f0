{{- define "service.workload" -}}
{{- $kind := .Values.kind -}}
{{- $claims := include "service.claims" . | fromJson -}}
{{- if eq $kind "Job" }}
{{- $spec := include "service.jobSpec" . }}
{{- $patch := get (.Values.patches | default dict) (printf "Job/%s" .Release.Name) | default dict }}
apiVersion: batch/v1
kind: Job
metadata:
  {{- /* A Job is immutable: its name contains a hash of the spec, so that a changed spec creates a new Job. */}}
  name: {{ .Release.Name }}-{{ list (fromYaml $spec) $patch | toJson | sha256sum | trunc 8 }}
  labels: {{- include "service.labels" . | nindent 4 }}
  {{- with include "service.annotations" . }}
  {{- . | nindent 2 }}
  {{- end }}
spec: {{- $spec | nindent 2 }}
{{- else if eq $kind "CronJob" }}
apiVersion: batch/v1
kind: CronJob
metadata:
  {{- include "service.metadata" . | nindent 2 }}
  {{- with include "service.annotations" . }}
  {{- . | nindent 2 }}
  {{- end }}
spec:
  schedule: {{ required "a CronJob needs a `schedule`" .Values.schedule | quote }}
  {{- with .Values.timeZone }}
  timeZone: {{ quote . }}
  {{- end }}
  concurrencyPolicy: {{ .Values.concurrency | default "Forbid" }}
  successfulJobsHistoryLimit: {{ int (.Values.keep | default 3) }}
  failedJobsHistoryLimit: {{ int (.Values.keep | default 3) }}
  jobTemplate:
    metadata:
      labels: {{- include "service.podLabels" . | nindent 8 }}
    spec: {{- include "service.jobSpec" . | nindent 6 }}
{{- else }}
apiVersion: apps/v1
kind: {{ $kind }}
metadata:
  {{- include "service.metadata" . | nindent 2 }}
  {{- with include "service.annotations" . }}
  {{- . | nindent 2 }}
  {{- end }}
spec:
  {{- if and (ne $kind "DaemonSet") (not .Values.autoscaling) }}
  replicas: {{ int .Values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  selector:
    matchLabels: {{- include "service.selectorLabels" . | nindent 6 }}
  {{- if eq $kind "Deployment" }}
  progressDeadlineSeconds: {{ add (int .Values.progressDeadline) (int (.Values.minReady | default 0)) }}
  {{- $exclusive := false }}
  {{- range $claims }}{{ if eq (.accessMode | default "ReadWriteOnce") "ReadWriteOnce" "ReadWriteOncePod" }}{{ $exclusive = true }}{{ end }}{{ end }}
  {{- if or $exclusive (eq (toString .Values.strategy) "Recreate") }}
  {{- /* Pods on two nodes cannot mount the same volume: the old pod must stop first. */}}
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {{- include "service.rollingUpdate" (dict "strategy" .Values.strategy "surge" "25%" "unavailable" 0) | nindent 6 }}
  {{- end }}
  {{- else if and (eq $kind "DaemonSet") .Values.strategy }}
  updateStrategy:
    type: RollingUpdate
    rollingUpdate: {{- include "service.rollingUpdate" (dict "strategy" .Values.strategy "surge" 0 "unavailable" (ternary 0 1 (hasKey .Values.strategy "surge"))) | nindent 6 }}
  {{- else if eq $kind "StatefulSet" }}
  serviceName: {{ .Release.Name }}-pods
  {{- /* With ordered updates, a pod that never becomes ready would block its own fix. */}}
  podManagementPolicy: Parallel
  {{- with $claims }}
  volumeClaimTemplates:
    {{- range $name, $volume := . }}
    - metadata:
        name: {{ $name }}
        labels: {{- include "service.selectorLabels" $ | nindent 10 }}
      spec: {{- include "service.claim" $volume | nindent 8 }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.minReady }}
  minReadySeconds: {{ int . }}
  {{- end }}
  template: {{- include "service.podTemplate" . | nindent 4 }}
{{- end }}
{{- if ne $kind "StatefulSet" }}
{{- range $name, $volume := $claims }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $.Release.Name }}-{{ $name }}
  labels: {{- include "service.labels" $ | nindent 4 }}
  annotations: {helm.sh/resource-policy: keep}
spec: {{- include "service.claim" $volume | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
