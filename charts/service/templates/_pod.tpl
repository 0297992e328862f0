{{- define "service.podTemplate" -}}
{{- $own := include "service.strings" .Values.podLabels | fromYaml -}}
{{- $labels := merge $own (include "service.podLabels" . | fromJson) -}}
{{- $annotations := include "service.podAnnotations" . | fromJson -}}
metadata: {{ dict "labels" $labels "annotations" $annotations | include "service.given" }}
spec: {{ include "service.patched" (dict "base" (include "service.podSpec" . | fromJson) "patch" .Values.pod) }}
{{- end }}

{{/* A change of a checksum restarts the pods. */}}
{{- define "service.podAnnotations" -}}
{{- $content := list (include "service.strings" .Values.config) (include "service.strings" (include "service.inlineFiles" . | fromJson)) -}}
{{- $secrets := include "service.strings" .Values.secretChecksums -}}
{{- $out := dict
  "checksum/config" (ternary (toJson $content | sha256sum | trunc 16) nil (ne "" (join "" $content)))
  "checksum/secrets" (ternary (sha256sum $secrets | trunc 16) nil (ne "" $secrets)) -}}
{{- $own := include "service.strings" .Values.podAnnotations | fromYaml -}}
{{- merge $own (include "service.given" $out | fromJson) | toJson -}}
{{- end }}

{{- define "service.podSpec" -}}
{{- $account := .Values.serviceAccount | default dict -}}
{{- $accountName := ternary .Release.Name nil (eq (toString $account.create) "true") -}}
{{- $main := pick .Values "command" "args" "env" "envFrom" "ports" "probes" "resources" "container" -}}
{{- $parameters := dict "root" . "name" .Release.Name "container" $main "role" "main" -}}
{{- $fields := dict
  "serviceAccountName" ($account.name | default $accountName)
  "automountServiceAccountToken" ($account.automount | default false)
  "enableServiceLinks" false
  "terminationGracePeriodSeconds" .Values.grace
  "restartPolicy" (ternary (.Values.restart | default "Never") nil (has .Values.kind (list "Job" "CronJob")))
  "priorityClassName" .Values.priorityClass
  "nodeSelector" (include "service.strings" .Values.nodeSelector | fromYaml)
  "securityContext" (include "service.podSecurity" .Values.security | fromJson)
  "initContainers" (include "service.initContainers" . | fromYamlArray)
  "containers" (list (include "service.container" $parameters | fromJson))
  "volumes" (include "service.volumes" . | fromYamlArray) -}}
{{- merge $fields (include "service.scheduling" . | fromYaml) | include "service.given" -}}
{{- end }}

{{/* A sidecar is an init container that keeps running while a Job finishes or a server drains. */}}
{{- define "service.initContainers" -}}
{{- range $role, $containers := dict "init" .Values.initContainers "sidecar" .Values.sidecars }}
{{- range $name, $container := $containers }}
- {{ include "service.container" (dict "root" $ "name" $name "container" $container "role" $role) }}
{{- end }}{{ end }}
{{- end }}

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
topologySpreadConstraints:
  {{- range $key, $mode := .Values.spread }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: {{ $mode }}
    labelSelector: {matchLabels: {{ include "service.selectorLabels" $ }}}
  {{- end }}
{{- end }}
