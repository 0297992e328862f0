{{- define "traefik.selector" -}}
app.kubernetes.io/name: traefik
app.kubernetes.io/instance: {{ .Release.Name }}-{{ .Release.Namespace }}
{{- end }}

{{- define "traefik.labels" -}}
{{ include "traefik.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "traefik.name" -}}
{{- ternary .Release.Name (printf "%s-traefik" .Release.Name) (contains "traefik" .Release.Name) -}}
{{- end }}

{{- define "traefik.account" -}}
{{- .Values.serviceAccount.name | default (include "traefik.name" .) -}}
{{- end }}

{{- define "traefik.arguments" -}}
{{- $values := .Values -}}
{{- $crd := $values.providers.kubernetesCRD -}}
{{- $ingress := $values.providers.kubernetesIngress -}}
- --global.checkNewVersion={{ $values.global.checkNewVersion }}
- --global.sendAnonymousUsage={{ $values.global.sendAnonymousUsage }}
- --ping=true
- --api.dashboard={{ $values.api.dashboard }}
- --api.insecure={{ $values.api.insecure }}
- --metrics.prometheus=true
- --metrics.prometheus.entrypoint=metrics
- --log.level={{ $values.log.level }}
{{- with $values.log.format }}
- --log.format={{ . }}
{{- end }}
{{- if $values.accessLog.enabled }}
- --accesslog=true
{{- with $values.accessLog.format }}
- --accesslog.format={{ . }}
{{- end }}
{{- end }}
{{- range $name, $port := $values.ports }}
- --entryPoints.{{ $name }}.address=:{{ int $port.port }}/{{ lower $port.protocol }}
{{- $http := $port.http | default dict }}
{{- if ($http.tls | default dict).enabled }}
- --entryPoints.{{ $name }}.http.tls=true
{{- end }}
{{- with ($http.redirections | default dict).entryPoint }}
{{- range $key, $value := . }}
- --entryPoints.{{ $name }}.http.redirections.entryPoint.{{ $key }}={{ $value }}
{{- end }}
{{- end }}
{{- $forwarded := $port.forwardedHeaders | default dict }}
{{- with $forwarded.trustedIPs }}
- --entryPoints.{{ $name }}.forwardedHeaders.trustedIPs={{ join "," . }}
{{- end }}
{{- if $forwarded.insecure }}
- --entryPoints.{{ $name }}.forwardedHeaders.insecure=true
{{- end }}
{{- end }}
{{- if $crd.enabled }}
- --providers.kubernetescrd
- --providers.kubernetescrd.allowCrossNamespace={{ $crd.allowCrossNamespace }}
- --providers.kubernetescrd.allowExternalNameServices={{ $crd.allowExternalNameServices }}
- --providers.kubernetescrd.allowEmptyServices={{ $crd.allowEmptyServices }}
{{- with $crd.ingressClass }}
- --providers.kubernetescrd.ingressClass={{ . }}
{{- end }}
{{- with $crd.namespaces }}
- --providers.kubernetescrd.namespaces={{ join "," . }}
{{- end }}
{{- end }}
{{- if $ingress.enabled }}
- --providers.kubernetesingress
- --providers.kubernetesingress.allowExternalNameServices={{ $ingress.allowExternalNameServices }}
- --providers.kubernetesingress.allowEmptyServices={{ $ingress.allowEmptyServices }}
{{- if $ingress.publishedService.enabled }}
- --providers.kubernetesingress.ingressendpoint.publishedservice={{ $ingress.publishedService.pathOverride | default (printf "%s/%s" .Release.Namespace (include "traefik.name" .)) }}
{{- end }}
{{- with $ingress.ingressClass }}
- --providers.kubernetesingress.ingressClass={{ . }}
{{- end }}
{{- with $ingress.namespaces }}
- --providers.kubernetesingress.namespaces={{ join "," . }}
{{- end }}
{{- end }}
{{- if $values.providers.kubernetesGateway.enabled }}
- --providers.kubernetesgateway
- --providers.kubernetesgateway.experimentalchannel={{ $values.providers.kubernetesGateway.experimentalChannel }}
{{- end }}
{{- range $values.additionalArguments }}
- {{ quote . }}
{{- end }}
{{- end }}
