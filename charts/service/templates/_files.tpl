{{/* The files whose content is in the values, as JSON; cmdr adds ConfigMaps for the others. */}}
{{- define "service.inlineFiles" -}}
{{- $out := dict -}}
{{- range $path, $content := .Values.files }}{{ if kindIs "string" $content }}{{ $_ := set $out $path $content }}{{ end }}{{ end -}}
{{- toJson $out -}}
{{- end }}

{{/* Mounts of files from disk. Their volume has the paths of each container below its name. Parameters: name, files. */}}
{{- define "service.diskMounts" -}}
{{- $name := .name -}}
{{- range $path, $file := .files }}
{{- if kindIs "map" $file }}
- {name: files-from-disk, mountPath: {{ quote $path }}, subPath: {{ printf "%s%s" $name (trimSuffix "/" $path) | quote }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* The volume of files from disk. A key that ends with `.x` is that of an executable file. */}}
{{- define "service.diskVolume" -}}
{{- with .Values.fileMaps }}
- name: files-from-disk
  projected:
    sources:
      {{- range $map, $paths := . }}
      - configMap:
          name: {{ $map }}
          items:
            {{- range $path, $key := $paths }}
            - {key: {{ quote $key }}, path: {{ quote $path }}{{ if hasSuffix ".x" $key }}, mode: 0555{{ end }}}
            {{- end }}
      {{- end }}
{{- end }}
{{- end }}
