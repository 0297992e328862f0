{{/* All objects are named after the release, which is named after the project. */}}

{{- define "service.selectorLabels" -}}
{{- $name := (.Values.service | default dict).of | default .Release.Name -}}
{{- dict "app.kubernetes.io/name" $name "app.kubernetes.io/instance" .Release.Name | toJson -}}
{{- end }}

{{/* The version as a label value: at most 63 characters, starting and ending with a letter or digit. */}}
{{- define "service.version" -}}
{{- $version := include "service.text" (.Values.version | default "") -}}
{{- $short := regexReplaceAll "[^A-Za-z0-9_.-]" $version "-" | trunc 63 -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" $short "" | regexFind "[A-Za-z0-9].*" -}}
{{- end }}

{{/* Labels of a pod. They do not change with a commit or a new version of this chart. */}}
{{- define "service.podLabels" -}}
{{- $version := include "service.version" . -}}
{{- $more := dict "app.kubernetes.io/version" $version "app.kubernetes.io/part-of" .Values.workspace -}}
{{- merge (include "service.selectorLabels" . | fromJson) (include "service.given" $more | fromJson) | toJson -}}
{{- end }}

{{- define "service.labels" -}}
{{- $more := dict
  "app.kubernetes.io/component" .Values.component
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) -}}
{{- $own := include "service.strings" .Values.labels | fromYaml -}}
{{- merge $own (include "service.podLabels" . | fromJson) (include "service.given" $more | fromJson) | toJson -}}
{{- end }}

{{/* The first lines of an object. Parameters: root, api, kind; name, if it is not the project's; labels; annotations. */}}
{{- define "service.head" -}}
apiVersion: {{ .api }}
kind: {{ .kind }}
metadata:
  name: {{ .name | default .root.Release.Name }}
  labels: {{ include "service.labels" .root | fromJson | merge (.labels | default dict) | toJson }}
  {{- with include "service.strings" .annotations }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The full name of a Secret in `secrets`; any other name is used unchanged. Parameters: root, name. */}}
{{- define "service.secretName" -}}
{{- $declared := index (.root.Values.secrets | default dict) .name | default dict -}}
{{- if $declared.existing }}{{ $declared.existing }}
{{- else if or $declared.generate $declared.sops $declared.external }}{{ .root.Release.Name }}-{{ .name }}
{{- else }}{{ .name }}{{ end -}}
{{- end }}
