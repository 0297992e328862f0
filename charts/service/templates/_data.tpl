{{/* Values as data. Helpers return text or, as YAML, maps and lists; objects.yaml writes the objects. */}}

{{/* Values without keys that are null: null removes what was inherited. Fragments and `security` are kept as they are.
Parameters: map; named: whether its keys are names that users chose. */}}
{{- define "service.present" -}}
{{- $kept := list "container" "extraObjects" "patches" "pod" "security" "source" -}}
{{- $out := dict -}}
{{- range $key, $value := .map -}}
{{- if and (kindIs "map" $value) (or $.named (not (has $key $kept))) -}}
{{- $value = include "service.present" (dict "map" $value "named" (not $.named)) | fromJson -}}
{{- end -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $out $key $value }}{{ end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{/* The map without keys that are null, or an empty text, map or list; 0 and false are values. */}}
{{- define "service.given" -}}
{{- $out := dict -}}
{{- range $key, $value := . -}}
{{- if or $value (has (kindOf $value) (list "bool" "int" "int64" "float64")) }}{{ $_ := set $out $key $value }}{{ end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{/* A string, number or boolean as text. toJson keeps large numbers as written; toString would write 1e+06. */}}
{{- define "service.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* Converts a map of strings, numbers or booleans to a map of strings. */}}
{{- define "service.strings" -}}
{{- $lines := list -}}
{{- range $key, $value := . -}}
{{- $lines = append $lines (printf "%s: %s" (quote $key) (include "service.text" $value | quote)) -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end }}

{{/* The keys of a map that are true, in order. */}}
{{- define "service.wanted" -}}
{{- range $key, $wanted := . }}{{ if $wanted }}
- {{ quote $key }}
{{- end }}{{ end }}
{{- end }}
