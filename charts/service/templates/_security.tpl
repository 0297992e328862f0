{{/* What each profile of `security` means, before its overrides. */}}
{{- define "service.securityProfiles" -}}
image: {runAsNonRoot: false, readOnlyRootFilesystem: false, allowPrivilegeEscalation: true}
baseline: {runAsNonRoot: false, readOnlyRootFilesystem: false, allowPrivilegeEscalation: false}
restricted: {runAsUser: 1000, runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, drop: [ALL]}
{{- end }}

{{/* The settings of `security`. A key that is null is removed from the profile. */}}
{{- define "service.security" -}}
{{- $out := get (include "service.securityProfiles" . | fromYaml) (.profile | default "restricted") -}}
{{- range $key, $value := omit . "profile" }}{{ $_ := set $out $key $value }}{{ end -}}
{{- toJson $out -}}
{{- end }}

{{/* The security context of a container: its user only if it differs from that of the pod. Parameters: all, own. */}}
{{- define "service.containerSecurity" -}}
{{- $capabilities := dict "drop" .all.drop "add" (include "service.wanted" .all.capabilities | fromYamlArray) -}}
{{- $user := pick .own "runAsUser" "runAsGroup" "runAsNonRoot" -}}
{{- $all := pick .all "allowPrivilegeEscalation" "readOnlyRootFilesystem" -}}
{{- merge (dict "capabilities" (include "service.given" $capabilities | fromJson)) $user $all | include "service.given" -}}
{{- end }}

{{- define "service.podSecurity" -}}
{{- $all := include "service.security" . | fromJson -}}
{{- include "service.given" (dict
  "runAsNonRoot" $all.runAsNonRoot
  "runAsUser" $all.runAsUser
  "runAsGroup" (ternary $all.runAsUser $all.runAsGroup (kindIs "invalid" $all.runAsGroup))
  "fsGroup" (ternary $all.runAsUser $all.fsGroup (kindIs "invalid" $all.fsGroup))
  "fsGroupChangePolicy" "OnRootMismatch"
  "seccompProfile" (dict "type" ($all.seccompProfile | default "RuntimeDefault"))) -}}
{{- end }}
