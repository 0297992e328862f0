{{- define "service.routes" -}}
{{- /* One Ingress for all routes; a route with its own class or annotations gets a separate Ingress. */}}
{{- $routes := include "service.present" .Values.routes | fromJson }}
{{- $groups := dict }}
{{- range $name, $route := $routes }}
{{- $object := ternary (printf "%s-%s" $.Release.Name $name) $.Release.Name (or (not (empty $route.annotations)) (not (empty $route.class))) }}
{{- $_ := set $groups $object (set (index $groups $object | default dict) $name $route) }}
{{- end }}
{{- range $object, $members := $groups }}
{{- $any := index $members (keys $members | sortAlpha | first) }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $object }}
  labels: {{- include "service.labels" $ | nindent 4 }}
  {{- with include "service.strings" $any.annotations }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
spec:
  ingressClassName: {{ $any.class | default "traefik" }}
  {{- $tls := list }}
  {{- range $members }}
  {{- if .tls }}
  {{- $entry := dict "hosts" (list .host) }}
  {{- if kindIs "string" .tls }}{{ $_ := set $entry "secretName" .tls }}{{ end }}
  {{- $tls = append $tls $entry }}
  {{- end }}
  {{- end }}
  {{- with $tls | uniq }}
  tls:
    {{- range . }}
    - {{ toJson . }}
    {{- end }}
  {{- end }}
  rules:
    {{- range $members }}
    - host: {{ quote .host }}
      http:
        paths:
          - path: {{ .path | default "/" | quote }}
            pathType: Prefix
            backend:
              service: {name: {{ $.Release.Name }}, port: {name: {{ .port | default (include "service.firstPort" $.Values.ports) | required "a route needs a project with `ports`" }}}}
    {{- end }}
{{- end }}
{{- end }}
