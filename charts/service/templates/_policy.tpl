{{- define "service.policy" -}}
{{- with .Values.networkPolicy }}
{{- $policy := ternary . dict (kindIs "map" .) }}
{{- include "service.head" (dict "root" $ "api" "networking.k8s.io/v1" "kind" "NetworkPolicy") }}
spec:
  podSelector: {matchLabels: {{ include "service.selectorLabels" $ }}}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- include "service.peers" (dict "peers" $policy.from "side" "from") | indent 4 }}
  egress:
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    {{- include "service.peers" (dict "peers" $policy.to "side" "to") | indent 4 }}
{{- end }}
{{- end }}

{{/* A rule for each peer. A peer of a port only is anything with that port. Parameters: peers, side. */}}
{{- define "service.peers" -}}
{{- range .peers }}
{{- $labels := .labels | default (ternary (dict "app.kubernetes.io/instance" .project) nil (hasKey . "project")) }}
{{- $namespace := ternary (dict "kubernetes.io/metadata.name" .namespace) nil (hasKey . "namespace") }}
{{- $peer := include "service.given" (dict
  "podSelector" (ternary (dict "matchLabels" $labels) nil (not (empty $labels)))
  "namespaceSelector" (ternary (dict "matchLabels" $namespace) nil (not (empty $namespace)))
  "ipBlock" (ternary (dict "cidr" .network) nil (hasKey . "network"))) | fromJson }}
{{- $ports := ternary (list (dict "port" .port)) nil (hasKey . "port") }}
- {{ dict $.side (ternary (list $peer) nil (gt (len $peer) 0)) "ports" $ports | include "service.given" }}
{{- end }}
{{- end }}
