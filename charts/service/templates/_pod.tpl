{{- define "service.podTemplate" -}}
{{- $own := include "service.strings" .Values.podLabels | fromYaml -}}
{{- $labels := merge $own (include "service.podLabels" . | fromJson) -}}
{{- $annotations := include "service.podAnnotations" . | fromJson -}}
metadata: {{ dict "labels" $labels "annotations" $annotations | include "service.given" }}
spec: {{ include "service.merged" (dict "base" (include "service.podSpec" . | fromJson) "patch" .Values.pod) }}
{{- end }}

{{/* A change of a checksum restarts the pods. */}}
{{- define "service.podAnnotations" -}}
{{- $files := include "service.inlineFiles" . | fromJson -}}
{{- $content := list (include "service.strings" .Values.config) (include "service.strings" $files) -}}
{{- $secrets := include "service.strings" .Values.secretChecksums -}}
{{- $out := dict
  "checksum/config" (ternary (toJson $content | sha256sum | trunc 16) nil (ne "" (join "" $content)))
  "checksum/secrets" (ternary (sha256sum $secrets | trunc 16) nil (ne "" $secrets)) -}}
{{- $own := include "service.strings" .Values.podAnnotations | fromYaml -}}
{{- merge $own (include "service.given" $out | fromJson) | toJson -}}
{{- end }}

{{/* Spot nodes are taken away after 30 seconds: their pods stop a little earlier, unless `grace` was changed. */}}
{{- define "service.podSpec" -}}
{{- $account := .Values.serviceAccount | default dict -}}
{{- $accountName := ternary .Release.Name nil (eq (toString $account.create) "true") -}}
{{- $main := pick .Values "command" "args" "env" "envFrom" "files" "ports" "probes" "resources" "container" -}}
{{- $parameters := dict "root" . "name" .Release.Name "container" $main "role" "main" -}}
{{- $fields := dict
  "serviceAccountName" ($account.name | default $accountName)
  "automountServiceAccountToken" ($account.automount | default false)
  "enableServiceLinks" false
  "terminationGracePeriodSeconds" (ternary 25 .Values.grace (and (eq true .Values.spot) (eq 30 (int .Values.grace))))
  "restartPolicy" (ternary (.Values.restart | default "Never") nil (has .Values.kind (list "Job" "CronJob")))
  "priorityClassName" .Values.priorityClass
  "nodeSelector" (include "service.strings" .Values.nodeSelector | fromYaml)
  "securityContext" (include "service.podSecurity" .Values.security | fromJson)
  "initContainers" (include "service.initContainers" . | fromYamlArray)
  "containers" (list (include "service.container" $parameters | fromJson))
  "volumes" (include "service.volumes" . | fromYamlArray) -}}
{{- merge $fields (include "service.scheduling" . | fromYaml) | include "service.given" -}}
{{- end }}

{{/* What `waitFor` names comes first. A sidecar is an init container that keeps running while a Job finishes or a server
drains. */}}
{{- define "service.initContainers" -}}
{{- range $name, $wait := .Values.waitFor }}
{{- $isHttp := hasKey $wait "http" }}
{{- $check := ternary "wget -q -T 2 -O /dev/null \"$@\"" "nc -z -w 2 \"$@\"" $isHttp }}
{{- $address := ternary (list .http) (splitList ":" (.tcp | default "")) $isHttp }}
{{- $container := dict
  "image" (.image | default "docker.io/library/busybox:1.36")
  "command" (concat (list "sh" "-c" (printf "until %s; do sleep 1; done" $check) "wait") $address)
  "resources" (dict "requests" (dict "cpu" "1m" "memory" "4Mi") "limits" (dict "memory" "32Mi")) }}
- {{ include "service.container" (dict "root" $ "name" (print "wait-for-" $name) "container" $container "role" "init") }}
{{- end }}
{{- range $role, $containers := dict "init" .Values.initContainers "sidecar" .Values.sidecars }}
{{- range $name, $container := $containers }}
- {{ include "service.container" (dict "root" $ "name" $name "container" $container "role" $role) }}
{{- end }}{{ end }}
{{- end }}
