{{/* One Ingress for all routes; a route with its own class or annotations gets a separate Ingress. */}}
{{- define "service.routes" -}}
{{- $groups := dict }}
{{- range $name, $route := .Values.routes }}
{{- if eq "Ingress" ($route.kind | default "Ingress") }}
{{- $isApart := or $route.annotations $route.class }}
{{- $object := ternary (printf "%s-%s" $.Release.Name $name) $.Release.Name (not (empty $isApart)) }}
{{- $_ := set $groups $object (set (get $groups $object | default dict) $name $route) }}
{{- end }}{{ end }}
{{- range $object, $members := $groups }}
{{- $any := get $members (keys $members | sortAlpha | first) }}
---
{{ include "service.head" (dict
  "root" $ "api" "networking.k8s.io/v1" "kind" "Ingress" "name" $object "annotations" $any.annotations) }}
spec:
  ingressClassName: {{ $any.class | default "traefik" }}
  {{- $tls := list }}
  {{- range $members }}
  {{- $secret := ternary (dict "secretName" .tls) dict (kindIs "string" .tls) }}
  {{- if .tls }}{{ $tls = append $tls (set $secret "hosts" (include "service.routeHosts" . | fromYamlArray)) }}{{ end }}
  {{- end }}
  {{- with $tls | uniq }}
  tls: {{ toJson . }}
  {{- end }}
  rules:
    {{- range $route := $members }}
    {{- $first := .port | default (include "service.firstPort" $.Values.ports) }}
    {{- $port := required "a route needs a project with `ports`" $first }}
    {{- range include "service.routeHosts" . | fromYamlArray }}
    - host: {{ . }}
      http:
        paths:
          - path: {{ $route.path | default "/" | quote }}
            pathType: {{ $route.match | default "prefix" | title }}
            backend: {service: {name: {{ $.Release.Name }}, port: {name: {{ $port }}}}}
    {{- end }}{{ end }}
{{- end }}
{{- end }}

{{- define "service.routeHosts" -}}
{{- with .host }}
- {{ . }}
{{- end }}
{{- include "service.wanted" .hosts }}
{{- end }}
