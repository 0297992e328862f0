{{/* The volumes of the pod; in a StatefulSet, those with a size come from volumeClaimTemplates. */}}
{{- define "service.volumes" -}}
{{- range $name, $volume := .Values.volumes }}
{{- $claim := .claim | default (printf "%s-%s" $.Release.Name $name) }}
{{- $type := dict "persistentVolumeClaim" (dict "claimName" $claim) }}
{{- if .temporary }}
{{- $type = dict "emptyDir" (dict "sizeLimit" .size "medium" .medium | include "service.given" | fromJson) }}
{{- else if .secret }}
{{- $type = dict "secret" (dict "secretName" (include "service.secretName" (dict "root" $ "name" .secret))) }}
{{- else if .config }}{{ $type = dict "configMap" (dict "name" .config) }}
{{- else if .source }}{{ $type = .source }}{{ end }}
{{- $isTemplate := and (eq $.Values.kind "StatefulSet") (hasKey $type "persistentVolumeClaim") (not .claim) (not .source) }}
{{- if not $isTemplate }}
- {{ merge (dict "name" $name) $type | toJson }}
{{- end }}
{{- end }}
{{- if include "service.inlineFiles" . | fromJson }}
- {name: files, configMap: {name: {{ .Release.Name }}-files}}
{{- end }}
{{- include "service.diskVolume" . }}
{{- $secrets := dict -}}
{{- range $path, $ref := .Values.secretFiles }}
{{- $_ := set $secrets (printf "secret-%s" ($ref.secret | replace "." "-")) $ref.secret }}
{{- end }}
{{- range $volume, $secret := $secrets }}
- {name: {{ $volume }}, secret: {secretName: {{ include "service.secretName" (dict "root" $ "name" $secret) }}}}
{{- end }}
{{- /* A container with a read-only root file system needs a writable /tmp. */}}
{{- $readOnly := (include "service.security" .Values.security | fromJson).readOnlyRootFilesystem }}
{{- range $containers := list .Values.sidecars .Values.initContainers }}
{{- range $containers }}{{ $readOnly = or $readOnly (.security | default dict).readOnlyRootFilesystem }}{{ end }}
{{- end }}
{{- if and $readOnly (not (hasKey (.Values.volumes | default dict) "tmp")) }}
- {name: tmp, emptyDir: {}}
{{- end }}
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
{{- range $path, $ref := $values.secretFiles }}
{{- $volume := printf "secret-%s" ($ref.secret | replace "." "-") }}
- {name: {{ $volume }}, mountPath: {{ quote $path }}, subPath: {{ quote $ref.key }}, readOnly: true}
{{- end }}
{{- end }}
{{- include "service.diskMounts" (dict "name" .name "files" .container.files) }}
{{- range $name, $path := .container.mounts }}
{{- $paths = append $paths $path }}
- {name: {{ $name }}, mountPath: {{ quote $path }}}
{{- end }}
{{- if and .readOnly (not (has "/tmp" $paths)) }}
- {name: tmp, mountPath: /tmp, subPath: {{ .name }}}
{{- end }}
{{- end }}

{{/* The key of a file in the ConfigMap of `files`. With a hash if another path could get the same one. */}}
{{- define "service.filesKey" -}}
{{- regexReplaceAll "[^-._A-Za-z0-9]" (trimPrefix "/" .) "_" -}}
{{- if regexMatch "[^-./A-Za-z0-9]" . }}-{{ sha256sum . | trunc 8 }}{{ end -}}
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
