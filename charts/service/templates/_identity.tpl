{{/* Completes the values: an identity in a cloud is annotations of an account, and a token is a volume. */}}
{{- define "service.identities" -}}
{{- $account := .serviceAccount | default dict -}}
{{- $annotations := include "service.given" (dict
  "eks.amazonaws.com/role-arn" (.aws | default dict).role
  "iam.gke.io/gcp-service-account" (.gcp | default dict).account
  "azure.workload.identity/client-id" (.azure | default dict).client
  "azure.workload.identity/tenant-id" (.azure | default dict).tenant) | fromJson -}}
{{- $rules := or $account.rules $account.clusterRules -}}
{{- if or $annotations $rules -}}
{{- $own := dict "create" true "automount" (not (empty $rules)) -}}
{{- range $key, $value := $account }}{{ $_ := set $own $key $value }}{{ end -}}
{{- $_ := set $own "annotations" (merge dict ($account.annotations | default dict) $annotations) -}}
{{- $_ := set . "serviceAccount" $own -}}
{{- end -}}
{{- $tokens := .tokens | default dict -}}
{{- if .aws -}}
{{- $path := "/var/run/secrets/eks.amazonaws.com/serviceaccount" -}}
{{- $env := dict "AWS_ROLE_ARN" .aws.role "AWS_WEB_IDENTITY_TOKEN_FILE" (print $path "/token") -}}
{{- $_ := set . "env" (merge dict (.env | default dict) $env) -}}
{{- $_ := set $tokens "aws-iam" (dict "audience" "sts.amazonaws.com" "path" $path "seconds" 86400) -}}
{{- end -}}
{{- if .azure -}}
{{- $_ := set . "podLabels" (merge dict (.podLabels | default dict) (dict "azure.workload.identity/use" "true")) -}}
{{- end -}}
{{- range $name, $token := $tokens -}}
{{- $source := dict "audience" .audience "path" "token" "expirationSeconds" (.seconds | default 3600) -}}
{{- $volume := dict "projected" (dict "sources" (list (dict "serviceAccountToken" $source))) -}}
{{- $mount := dict (print $name "-token") (dict "path" .path "readOnly" true "source" $volume) -}}
{{- $_ := set $ "volumes" (merge dict ($.volumes | default dict) $mount) -}}
{{- end -}}
{{- end }}

{{- define "service.identity" -}}
{{- $account := .Values.serviceAccount | default dict }}
{{- $head := dict "root" . "api" "rbac.authorization.k8s.io/v1" }}
{{- if $account.create }}
{{- $own := pick $account "name" "annotations" }}
{{- include "service.head" (merge (dict "api" "v1" "kind" "ServiceAccount") $own $head) }}
automountServiceAccountToken: false
{{- end }}
{{- range $scope, $rules := dict "" $account.rules "Cluster" $account.clusterRules }}
{{- if $rules }}
{{- $role := print $.Release.Name (ternary (print "-" $.Release.Namespace) "" (eq $scope "Cluster")) }}
---
{{ include "service.head" (merge (dict "kind" (print $scope "Role") "name" $role) $head) }}
rules:
  {{- range $rules }}
  - {{ merge dict . (dict "apiGroups" (list "")) | toJson }}
  {{- end }}
---
{{ include "service.head" (merge (dict "kind" (print $scope "RoleBinding") "name" $role) $head) }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ $scope }}Role, name: {{ $role }}}
subjects:
  - {kind: ServiceAccount, name: {{ $account.name | default $.Release.Name }}, namespace: {{ $.Release.Namespace }}}
{{- end }}
{{- end }}
{{- end }}
