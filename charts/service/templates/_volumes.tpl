{{/* The type of a volume; empty if it comes from volumeClaimTemplates. Parameters: root, name, volume. */}}
{{- define "service.volumeType" -}}
{{- $volume := .volume -}}
{{- if $volume.temporary }}
emptyDir: {{ dict "sizeLimit" $volume.size "medium" $volume.medium | include "service.given" }}
{{- else if $volume.secret }}
secret: {secretName: {{ include "service.secretName" (dict "root" .root "name" $volume.secret) }}}
{{- else if $volume.config }}
configMap: {name: {{ $volume.config }}}
{{- else if $volume.source }}
{{ toYaml $volume.source }}
{{- else if $volume.claim }}
persistentVolumeClaim: {claimName: {{ $volume.claim }}}
{{- else if ne .root.Values.kind "StatefulSet" }}
persistentVolumeClaim: {claimName: {{ .root.Release.Name }}-{{ .name }}}
{{- end }}
{{- end }}

{{/* The volumes of the pod. */}}
{{- define "service.volumes" -}}
{{- range $name, $volume := .Values.volumes }}
{{- with include "service.volumeType" (dict "root" $ "name" $name "volume" $volume) | fromYaml }}
- {{ set . "name" $name | toJson }}
{{- end }}
{{- end }}
{{- if include "service.inlineFiles" . | fromJson }}
- {name: files, configMap: {name: {{ .Release.Name }}-files}}
{{- end }}
{{- include "service.diskVolume" . }}
{{- $secrets := dict -}}
{{- range $path, $ref := .Values.secretFiles }}
{{- $_ := set $secrets (include "service.secretVolume" $ref.secret) $ref.secret }}
{{- end }}
{{- range $volume, $secret := $secrets }}
- {name: {{ $volume }}, secret: {secretName: {{ include "service.secretName" (dict "root" $ "name" $secret) }}}}
{{- end }}
{{- if include "service.hasReadOnlyRoot" . }}
- {name: tmp, emptyDir: {}}
{{- end }}
{{- end }}

{{/* `true` if a container has a read-only root file system: it needs a writable /tmp. */}}
{{- define "service.hasReadOnlyRoot" -}}
{{- $readOnly := (include "service.security" .Values.security | fromJson).readOnlyRootFilesystem -}}
{{- range $containers := list .Values.sidecars .Values.initContainers -}}
{{- range $containers }}{{ $readOnly = or $readOnly (.security | default dict).readOnlyRootFilesystem }}{{ end -}}
{{- end -}}
{{- if $readOnly }}true{{ end -}}
{{- end }}

{{/* The mounts of a container. Parameters: as of service.container, and readOnly. */}}
{{- define "service.mounts" -}}
{{- $values := .root.Values -}}
{{- $paths := list -}}
{{- if eq .role "main" }}
{{- range $name, $volume := $values.volumes }}
{{- if $volume.path }}
{{- $paths = append $paths $volume.path }}
{{- $mount := dict "name" $name "mountPath" $volume.path "subPath" $volume.subPath }}
- {{ merge $mount (ternary (dict "readOnly" true) dict (eq true $volume.readOnly)) | include "service.given" }}
{{- end }}
{{- end }}
{{- range $path, $content := include "service.inlineFiles" .root | fromJson }}
- {name: files, mountPath: {{ quote $path }}, subPath: {{ include "service.filesKey" $path }}, readOnly: true}
{{- end }}
{{- include "service.diskMounts" (dict "name" .name "files" $values.files) }}
{{- range $path, $ref := $values.secretFiles }}
{{- $volume := include "service.secretVolume" $ref.secret }}
- {name: {{ $volume }}, mountPath: {{ quote $path }}, subPath: {{ quote $ref.key }}, readOnly: true}
{{- end }}
{{- end }}
{{- range $name, $path := .container.mounts }}
{{- $paths = append $paths $path }}
- {name: {{ $name }}, mountPath: {{ quote $path }}}
{{- end }}
{{- if and .readOnly (not (has "/tmp" $paths)) }}
- {name: tmp, mountPath: /tmp, subPath: {{ .name }}}
{{- end }}
{{- end }}

{{- define "service.secretVolume" -}}
secret-{{ . | replace "." "-" }}
{{- end }}

{{/* The key of a file in the ConfigMap of `files`. */}}
{{- define "service.filesKey" -}}
{{- regexReplaceAll "[^-._A-Za-z0-9]" (trimPrefix "/" .) "_" -}}
{{- end }}

{{/* Claims to create: name -> spec. */}}
{{- define "service.claims" -}}
{{- $out := dict -}}
{{- range $name, $volume := .Values.volumes -}}
{{- $storage := dict "requests" (dict "storage" $volume.size) -}}
{{- $spec := dict "accessModes" (list ($volume.accessMode | default "ReadWriteOnce")) "resources" $storage -}}
{{- if hasKey $volume "storageClass" }}{{ $_ := set $spec "storageClassName" $volume.storageClass }}{{ end -}}
{{- if and $volume.size (not $volume.temporary) }}{{ $_ := set $out $name $spec }}{{ end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}
