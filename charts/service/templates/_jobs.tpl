{{- define "service.jobSpec" -}}
backoffLimit: {{ .Values.backoffLimit | default 0 }}
{{- with .Values.deadline }}
activeDeadlineSeconds: {{ . }}
{{- end }}
template: {{- include "service.podTemplate" . | nindent 2 }}
{{- end }}

{{/* A Job is immutable: its name contains a hash of the spec, so that a changed spec creates a new Job. */}}
{{- define "service.job" -}}
{{- $spec := include "service.jobSpec" . | fromYaml -}}
{{- $patch := get (.Values.patches | default dict) (printf "Job/%s" .Release.Name) | default dict -}}
{{- $name := printf "%s-%s" .Release.Name (list $spec $patch | toJson | sha256sum | trunc 8) -}}
{{- $annotations := .Values.annotations -}}
{{- include "service.head" (dict "root" . "api" "batch/v1" "kind" "Job" "name" $name "annotations" $annotations) }}
spec: {{ toJson $spec }}
{{- end }}

{{- define "service.cronJob" -}}
{{- include "service.head" (dict "root" . "api" "batch/v1" "kind" "CronJob" "annotations" .Values.annotations) }}
spec:
  schedule: {{ required "a CronJob needs a `schedule`" .Values.schedule | quote }}
  {{- with .Values.timeZone }}
  timeZone: {{ quote . }}
  {{- end }}
  concurrencyPolicy: {{ .Values.concurrency | default "Forbid" }}
  successfulJobsHistoryLimit: {{ .Values.keep | default 3 }}
  failedJobsHistoryLimit: {{ .Values.keep | default 3 }}
  jobTemplate:
    metadata: {labels: {{ include "service.podLabels" . }}}
    spec: {{- include "service.jobSpec" . | nindent 6 }}
{{- end }}
