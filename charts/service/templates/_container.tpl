{{/* One container of the pod, with its fragment. Parameters: root, name, container; role: sidecar, init or main, which
has config, files, all volumes with a path, and default probes. */}}
{{- define "service.container" -}}
{{- $container := .container -}}
{{- $own := $container.security | default dict -}}
{{- $security := mergeOverwrite (include "service.security" .root.Values.security | fromJson) $own -}}
{{- $fields := dict
  "name" .name
  "image" ($container.image | default .root.Values.image)
  "imagePullPolicy" .root.Values.pullPolicy
  "restartPolicy" (ternary "Always" nil (eq .role "sidecar"))
  "command" $container.command
  "args" $container.args
  "envFrom" (include "service.envFrom" . | fromYamlArray)
  "env" (include "service.env" (dict "root" .root "env" $container.env) | fromYamlArray)
  "ports" (include "service.containerPorts" $container.ports | fromYamlArray)
  "lifecycle" (include "service.lifecycle" . | fromYaml)
  "resources" $container.resources
  "securityContext" (include "service.containerSecurity" (dict "all" $security "own" $own) | fromJson)
  "volumeMounts" (include "service.mounts" (set . "readOnly" $security.readOnlyRootFilesystem) | fromYamlArray) -}}
{{- $base := merge $fields (include "service.probes" . | fromYaml) | include "service.given" | fromJson -}}
{{- include "service.merged" (dict "base" $base "patch" $container.container) -}}
{{- end }}

{{/* The ConfigMaps and Secrets that a container loads. Parameters: as of service.container. */}}
{{- define "service.envFrom" -}}
{{- $root := .root -}}
{{- if and (eq .role "main") (include "service.strings" $root.Values.config) }}
- configMapRef: {name: {{ $root.Release.Name }}}
{{- end }}
{{- range $_, $source := .container.envFrom }}
{{- $reference := pick $source "optional" }}
{{- if .secret }}
- secretRef: {{ set $reference "name" (include "service.secretName" (dict "root" $root "name" .secret)) | toJson }}
{{- else }}
- configMapRef: {{ set $reference "name" .config | toJson }}
{{- end }}
  {{- with .prefix }}
  prefix: {{ quote . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* How the main container drains: it serves requests while the Service stops sending them. */}}
{{- define "service.lifecycle" -}}
{{- $values := .root.Values -}}
{{- $drain := $values.drain -}}
{{- if kindIs "invalid" $drain -}}
{{- /* Kubernetes rejects a sleep longer than the grace period; one second is left for the shutdown itself. */ -}}
{{- $drains := and (eq $values.kind "Deployment") (eq "true" (include "service.isServer" .root)) -}}
{{- $drain = ternary (max 0 (min 5 (sub (int $values.grace) 1))) 0 $drains -}}
{{- end -}}
{{- if and (eq .role "main") (int $drain) -}}
preStop: {sleep: {seconds: {{ int $drain }}}}
{{- end -}}
{{- end }}
