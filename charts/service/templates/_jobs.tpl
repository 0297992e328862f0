{{/* What a Job and the Jobs of a CronJob have in common. */}}
{{- define "service.jobSpec" -}}
{{- $rules := list -}}
{{- range .Values.podFailurePolicy }}{{ $rules = append $rules . }}{{ end -}}
{{- merge (pick .Values "completions" "parallelism") (dict
  "backoffLimit" (.Values.backoffLimit | default 0)
  "activeDeadlineSeconds" .Values.deadline
  "completionMode" (ternary "Indexed" nil (eq true .Values.indexed))
  "ttlSecondsAfterFinished" .Values.ttl
  "podFailurePolicy" (ternary (dict "rules" $rules) nil (gt (len $rules) 0))
  "template" (include "service.podTemplate" . | fromYaml)) | include "service.given" -}}
{{- end }}

{{/* A Job is immutable: its name contains a hash of the spec, so that a changed spec creates a new Job. */}}
{{- define "service.job" -}}
{{- $suspend := ternary (dict "suspend" true) dict (eq true .Values.suspend) -}}
{{- $spec := merge $suspend (include "service.jobSpec" . | fromJson) -}}
{{- $patch := get (.Values.patches | default dict) (printf "Job/%s" .Release.Name) | default dict -}}
{{- $name := printf "%s-%s" .Release.Name (list $spec $patch | toJson | sha256sum | trunc 8) -}}
{{- include "service.head" (dict
  "root" . "api" "batch/v1" "kind" "Job" "name" $name "annotations" .Values.annotations) }}
spec: {{ toJson $spec }}
{{- end }}

{{- define "service.cronJob" -}}
{{- include "service.head" (dict "root" . "api" "batch/v1" "kind" "CronJob" "annotations" .Values.annotations) }}
spec: {{ include "service.given" (dict
  "schedule" (required "a CronJob needs a `schedule`" .Values.schedule)
  "timeZone" .Values.timeZone
  "startingDeadlineSeconds" .Values.startingDeadline
  "suspend" (ternary true nil (eq true .Values.suspend))
  "concurrencyPolicy" (.Values.concurrency | default "Forbid")
  "successfulJobsHistoryLimit" (.Values.keep | default 3)
  "failedJobsHistoryLimit" (.Values.keep | default 3)
  "jobTemplate" (dict
    "metadata" (dict "labels" (include "service.podLabels" . | fromJson))
    "spec" (include "service.jobSpec" . | fromJson))) }}
{{- end }}
