{{/* All objects are named after the release, which is named after the project. */}}

{{- define "service.selectorLabels" -}}
app.kubernetes.io/name: {{ .Release.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The version as a label value: at most 63 characters, starting and ending with a letter or digit. */}}
{{- define "service.version" -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" (regexReplaceAll "[^A-Za-z0-9_.-]" (include "service.string" (.Values.version | default "") | trimAll "\"") "-" | trunc 63) "" | regexFind "[A-Za-z0-9].*" -}}
{{- end }}

{{/* Labels of a pod. They do not change with a commit or a new version of this chart. */}}
{{- define "service.podLabels" -}}
{{ include "service.selectorLabels" . }}
{{- with include "service.version" . }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
{{- with .Values.workspace }}
app.kubernetes.io/part-of: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "service.labels" -}}
{{ include "service.podLabels" . }}
{{- with .Values.component }}
app.kubernetes.io/component: {{ . | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with include "service.strings" .Values.labels }}
{{ . }}
{{- end }}
{{- end }}

{{- define "service.metadata" -}}
name: {{ .Release.Name }}
labels: {{- include "service.labels" . | nindent 2 }}
{{- end }}

{{/* Annotations of the workload; other objects do not have the project's annotations. */}}
{{- define "service.annotations" -}}
{{- with include "service.strings" .Values.annotations -}}
annotations: {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Converts a map of strings, numbers or booleans to a map of strings; a key with null is omitted. */}}
{{- define "service.strings" -}}
{{- $lines := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $lines = append $lines (printf "%s: %s" (quote $key) (include "service.string" $value)) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end }}

{{/* toJson keeps large numbers as written; quote would write 1e+06. */}}
{{- define "service.string" -}}
{{- if kindIs "string" . }}{{ quote . }}{{ else }}{{ toJson . | quote }}{{ end -}}
{{- end }}

{{/* The map without keys that are null, as JSON. */}}
{{- define "service.present" -}}
{{- $out := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $out $key $value }}{{ end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{/* The keys of a map that are true, in order, as JSON. */}}
{{- define "service.wanted" -}}
{{- $out := list -}}
{{- range $key, $wanted := . }}{{ if $wanted }}{{ $out = append $out $key }}{{ end }}{{ end -}}
{{- toJson $out -}}
{{- end }}

{{/* A Secret defined under `secrets` is resolved to its full name; any other name is used unchanged. */}}
{{- define "service.secretName" -}}
{{- $declared := index (.root.Values.secrets | default dict) .name | default dict -}}
{{- if $declared.existing }}{{ $declared.existing }}
{{- else if or $declared.generate $declared.sops $declared.external }}{{ .root.Release.Name }}-{{ .name }}
{{- else }}{{ .name }}{{ end -}}
{{- end }}

{{/* Ports: name -> {port, service, protocol, appProtocol, nodePort, hostPort}, as JSON. The Service port of `http` is 80. */}}
{{- define "service.ports" -}}
{{- $out := dict -}}
{{- range $name, $port := . -}}
{{- if not (kindIs "invalid" $port) -}}
{{- $spec := $port -}}
{{- if not (kindIs "map" $port) }}{{ $spec = dict "port" $port }}{{ end -}}
{{- $service := $spec.service | default (ternary 80 $spec.port (eq $name "http")) -}}
{{- $_ := set $out $name (merge (dict "port" (int $spec.port) "service" (int $service) "protocol" ($spec.protocol | default "TCP")) (pick $spec "appProtocol" "nodePort" "hostPort")) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{/* The name of the first port: http, or the first by name; empty without ports. */}}
{{- define "service.firstPort" -}}
{{- $ports := include "service.ports" . | fromJson -}}
{{- if hasKey $ports "http" }}http{{ else }}{{ keys $ports | sortAlpha | first | default "" }}{{ end -}}
{{- end }}

{{- define "service.servicePort" -}}
{name: {{ .name }}, port: {{ int .port.service }}, targetPort: {{ int .port.port }}, protocol: {{ .port.protocol }}{{ with .port.appProtocol }}, appProtocol: {{ . }}{{ end }}{{ with .port.nodePort }}, nodePort: {{ int . }}{{ end }}}
{{- end }}

{{/* The ports of all containers: name -> number, as JSON. */}}
{{- define "service.namedPorts" -}}
{{- $out := dict -}}
{{- range prepend (concat (values (.sidecars | default dict)) (values (.initContainers | default dict))) . -}}
{{- range $name, $port := include "service.ports" (. | default dict).ports | fromJson }}{{ $_ := set $out $name $port.port }}{{ end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{- define "service.isServer" -}}
{{- if and (has .Values.kind (list "Deployment" "StatefulSet" "DaemonSet")) (include "service.firstPort" .Values.ports) }}true{{ end -}}
{{- end }}

{{/* The limits of a rolling update. Parameters: strategy; surge and unavailable: the defaults. 0 is a value. */}}
{{- define "service.rollingUpdate" -}}
{{- $strategy := ternary .strategy dict (kindIs "map" .strategy) -}}
{{- range $key, $field := dict "surge" "maxSurge" "unavailable" "maxUnavailable" }}
{{- $value := get $strategy $key }}
{{ $field }}: {{ ternary (index $ $key) $value (or (not (hasKey $strategy $key)) (kindIs "invalid" $value)) }}
{{- end }}
{{- end }}

{{- define "service.filesKey" -}}
{{- regexReplaceAll "[^-._A-Za-z0-9]" (trimPrefix "/" .) "_" -}}
{{- end }}

{{/*
Environment variables. Kubernetes replaces $(NAME) only if NAME comes first: references come before plain values, and a
plain value comes after those that it names.
*/}}
{{- define "service.env" -}}
{{- $root := .root -}}
{{- $env := .env -}}
{{- $left := dict -}}
{{- range $name, $value := $env }}
{{- if kindIs "map" $value }}
- name: {{ $name }}
  valueFrom:
    {{- if $value.secret }}
    secretKeyRef: {name: {{ include "service.secretName" (dict "root" $root "name" $value.secret) }}, key: {{ quote $value.key }}{{ if $value.optional }}, optional: true{{ end }}}
    {{- else if $value.config }}
    configMapKeyRef: {name: {{ $value.config }}, key: {{ quote $value.key }}{{ if $value.optional }}, optional: true{{ end }}}
    {{- else if $value.resource }}
    resourceFieldRef: {resource: {{ $value.resource }}}
    {{- else }}
    fieldRef: {fieldPath: {{ quote $value.field }}}
    {{- end }}
{{- else if not (kindIs "invalid" $value) }}
{{- /* `$$` first: it is an escaped `$`. */}}
{{- $_ := set $left $name (regexFindAll "\\$\\$|\\$\\([^)]*\\)" (toString $value) -1) }}
{{- end }}
{{- end }}
{{- range until (len $left) }}
{{- range $name, $refs := $left }}
{{- $waits := false }}
{{- range $refs }}
{{- $other := . | trimPrefix "$(" | trimSuffix ")" }}
{{- if and (ne $other $name) (hasKey $left $other) }}{{ $waits = true }}{{ end }}
{{- end }}
{{- if not $waits }}
{{- $_ := unset $left $name }}
- name: {{ $name }}
  value: {{ include "service.string" (index $env $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if $left }}{{ fail (printf "cycle between variables of `env`: %s" (keys $left | sortAlpha | join ", ")) }}{{ end }}
{{- end }}

{{/*
One probe. `probe` defines the check and its timing; `check` is another probe whose check is used if this
one has none. Without either, the first port must accept a TCP connection.
*/}}
{{- define "service.probe" -}}
{{- $probe := ternary .probe dict (kindIs "map" .probe) -}}
{{- $check := $probe -}}
{{- if not (or $probe.path $probe.port $probe.tcp $probe.grpc $probe.exec) }}{{ $check = ternary .check dict (kindIs "map" .check) }}{{ end -}}
{{- if $check.exec }}
exec:
  command: {{- toYaml $check.exec | nindent 4 }}
{{- else }}
{{- $port := $check.grpc | default $check.tcp | default $check.port | default .port -}}
{{- if kindIs "string" $port }}{{ $port = get .named $port }}{{ end }}
{{- $port = int $port }}
{{- if not $port }}{{ fail "a probe has no port, and its container has no `ports`" }}{{ end }}
{{- if $check.grpc }}
grpc: {port: {{ $port }}{{ with $check.service }}, service: {{ quote . }}{{ end }}}
{{- else if $check.path }}
httpGet:
  path: {{ quote $check.path }}
  port: {{ $port }}
  {{- with $check.scheme }}
  scheme: {{ . }}
  {{- end }}
  {{- with include "service.present" $check.headers | fromJson }}
  httpHeaders:
    {{- range $name, $value := . }}
    - {name: {{ quote $name }}, value: {{ quote $value }}}
    {{- end }}
  {{- end }}
{{- else }}
tcpSocket: {port: {{ $port }}}
{{- end }}
{{- end }}
{{- range $key, $value := merge (pick $probe "periodSeconds" "failureThreshold" "successThreshold" "timeoutSeconds" "initialDelaySeconds") .timing }}
{{ $key }}: {{ int $value }}
{{- end }}
{{- end }}

{{/*
The probes of a container. `defaults` is true for the main container of a server: it is ready when its
first port accepts connections. A startup probe is only added together with a liveness probe, to delay it.
Otherwise it would delay readiness by about a second, because kubelet checks readiness one period later.
*/}}
{{- define "service.probes" -}}
{{- $probes := .probes | default dict -}}
{{- $startup := index $probes "startup" -}}
{{- $readiness := index $probes "readiness" -}}
{{- $liveness := index $probes "liveness" -}}
{{- $hasReadiness := or (kindIs "map" $readiness) (and .defaults (not (kindIs "bool" $readiness))) (and .defaults (eq (toString $readiness) "true")) -}}
{{- $hasStartup := or (kindIs "map" $startup) (and $hasReadiness (kindIs "map" $liveness) (ne (toString $startup) "false")) -}}
{{- if $hasStartup }}
startupProbe: {{- include "service.probe" (dict "probe" $startup "check" $readiness "port" .port "named" .named "timing" (dict "periodSeconds" 1 "timeoutSeconds" 3 "failureThreshold" 120)) | trim | nindent 2 }}
{{- end }}
{{- if $hasReadiness }}
readinessProbe: {{- include "service.probe" (dict "probe" $readiness "port" .port "named" .named "timing" (dict "periodSeconds" 2 "timeoutSeconds" 3 "failureThreshold" 5)) | trim | nindent 2 }}
{{- end }}
{{- if kindIs "map" $liveness }}
livenessProbe: {{- include "service.probe" (dict "probe" $liveness "check" $readiness "port" .port "named" .named "timing" (dict "periodSeconds" 10 "timeoutSeconds" 3 "failureThreshold" 3)) | trim | nindent 2 }}
{{- end }}
{{- end }}

{{/* What each profile of `security` means, before its overrides. */}}
{{- define "service.securityProfiles" -}}
restricted: {runAsUser: 1000, runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, dropCapabilities: true, seccompProfile: RuntimeDefault}
baseline: {runAsNonRoot: false, readOnlyRootFilesystem: false, allowPrivilegeEscalation: false, seccompProfile: RuntimeDefault}
image: {runAsNonRoot: false, readOnlyRootFilesystem: false, allowPrivilegeEscalation: true, seccompProfile: RuntimeDefault}
{{- end }}

{{/* The settings of `security`, as JSON. A key that is null is removed from the profile. */}}
{{- define "service.security" -}}
{{- $out := get (include "service.securityProfiles" . | fromYaml) (.profile | default "restricted") -}}
{{- range $key, $value := omit . "profile" }}{{ $_ := set $out $key $value }}{{ end -}}
{{- toJson $out -}}
{{- end }}

{{/* The security context of a container: by default what Pod Security level "restricted" requires. */}}
{{- define "service.containerSecurity" -}}
{{- $all := .all -}}
{{- $own := .own | default dict -}}
{{- $added := include "service.wanted" $all.capabilities | fromJsonArray -}}
allowPrivilegeEscalation: {{ $all.allowPrivilegeEscalation }}
readOnlyRootFilesystem: {{ $all.readOnlyRootFilesystem }}
{{- if or $all.dropCapabilities $added }}
capabilities:
  {{- if $all.dropCapabilities }}
  drop: [ALL]
  {{- end }}
  {{- with $added }}
  add: {{ toJson . }}
  {{- end }}
{{- end }}
{{- range $key := list "runAsUser" "runAsGroup" "runAsNonRoot" }}
{{- if hasKey $own $key }}
{{ $key }}: {{ index $own $key | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{- define "service.podSecurity" -}}
runAsNonRoot: {{ .runAsNonRoot }}
{{- if not (kindIs "invalid" .runAsUser) }}
runAsUser: {{ int .runAsUser }}
{{- end }}
{{- range $key := list "runAsGroup" "fsGroup" }}
{{- $id := index $ $key -}}
{{- if kindIs "invalid" $id }}{{ $id = $.runAsUser }}{{ end }}
{{- if not (kindIs "invalid" $id) }}
{{ $key }}: {{ int $id }}
{{- end }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: {{ .seccompProfile }}}
{{- end }}

{{/*
One container: the main one, a sidecar or an init container.
Parameters: root, name, container; main: adds config, files, all volumes with a path, and default probes.
*/}}
{{- define "service.plainContainer" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $container := .container -}}
{{- $security := mergeOverwrite (include "service.security" $values.security | fromJson) ($container.security | default dict) -}}
{{- $ports := include "service.ports" $container.ports | fromJson -}}
name: {{ .name }}
image: {{ $container.image | default $values.image | quote }}
{{- with $values.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- if .sidecar }}
restartPolicy: Always
{{- end }}
{{- with $container.command }}
command: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $container.args }}
args: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $own := and .main (include "service.strings" $values.config) }}
{{- $sources := include "service.present" $container.envFrom | fromJson }}
{{- if or $own $sources }}
envFrom:
  {{- if $own }}
  - configMapRef: {name: {{ $root.Release.Name }}}
  {{- end }}
  {{- range $sources }}
  - {{ if .secret }}secretRef{{ else }}configMapRef{{ end }}:
      name: {{ if .secret }}{{ include "service.secretName" (dict "root" $root "name" .secret) }}{{ else }}{{ .config }}{{ end }}
      {{- if .optional }}
      optional: true
      {{- end }}
    {{- with .prefix }}
    prefix: {{ quote . }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with include "service.env" (dict "root" $root "env" $container.env) | trim }}
env: {{- . | nindent 2 }}
{{- end }}
{{- with $ports }}
ports:
  {{- range $name, $port := . }}
  - {name: {{ $name }}, containerPort: {{ int $port.port }}, protocol: {{ $port.protocol }}{{ with $port.hostPort }}, hostPort: {{ int . }}{{ end }}}
  {{- end }}
{{- end }}
{{- if not .init }}
{{- $first := include "service.firstPort" $container.ports -}}
{{- $number := 0 -}}
{{- if $first }}{{ $number = int (index $ports $first).port }}{{ end -}}
{{- include "service.probes" (dict "probes" $container.probes "port" $number "named" (include "service.namedPorts" $values | fromJson) "defaults" (and .main (include "service.isServer" $root))) }}
{{- end }}
{{- if .main }}
{{- $drain := $values.drain -}}
{{- if kindIs "invalid" $drain }}
{{- /* Kubernetes rejects a sleep longer than the grace period; one second is left for the shutdown itself. */}}
{{- $drains := and (eq $values.kind "Deployment") (ne (include "service.isServer" $root) "") -}}
{{- $drain = ternary (max 0 (min 5 (sub (int $values.grace) 1))) 0 $drains -}}
{{- end }}
{{- if int $drain }}
lifecycle:
  preStop: {sleep: {seconds: {{ int $drain }}}}
{{- end }}
{{- end }}
{{- with $container.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "service.containerSecurity" (dict "all" $security "own" ($container.security | default dict)) | nindent 2 }}
{{- with include "service.mounts" (dict "root" $root "name" .name "mounts" $container.mounts "main" .main "readOnly" $security.readOnlyRootFilesystem) | trim }}
volumeMounts: {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The container with its fragment. Parameters: as of service.plainContainer. */}}
{{- define "service.container" -}}
{{- include "service.patched" (dict "text" (include "service.plainContainer" .) "patch" .container.container) }}
{{- end }}

{{/* The object that `text` describes, with a fragment merged into it. */}}
{{- define "service.patched" -}}
{{- if .patch }}{{ include "service.merged" (dict "base" (fromYaml .text) "patch" .patch) | fromJson | toYaml }}{{ else }}{{ .text }}{{ end }}
{{- end }}

{{/* Maps are merged by key, and lists by the key that Kubernetes merges them by; other lists are replaced. As JSON. */}}
{{- define "service.merged" -}}
{{- $out := .base -}}
{{- /* A probe or hook has one handler: that of the fragment replaces another one. */ -}}
{{- $handlers := list "exec" "grpc" "httpGet" "sleep" "tcpSocket" -}}
{{- range $key, $value := .patch }}{{ if has $key $handlers }}{{ $out = omit $out "exec" "grpc" "httpGet" "sleep" "tcpSocket" }}{{ end }}{{ end -}}
{{- range $key, $value := .patch -}}
{{- $old := index $out $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- $value = include "service.merged" (dict "base" $old "patch" $value) | fromJson -}}
{{- else if and (kindIs "slice" $value) (kindIs "slice" $old) -}}
{{- with get (include "service.mergeKeys" (first $old) | fromYaml) $key }}{{ $value = include "service.mergedList" (dict "key" . "base" $old "patch" $value) | fromJsonArray }}{{ end -}}
{{- end -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{- define "service.mergedList" -}}
{{- $out := .base -}}
{{- range $item := .patch -}}
{{- $others := list -}}
{{- range $old := $out -}}
{{- if ne (toString (index $old $.key)) (toString (index $item $.key)) }}{{ $others = append $others $old }}{{ else }}{{ $item = include "service.merged" (dict "base" $old "patch" $item) | fromJson }}{{ end -}}
{{- end -}}
{{- $out = append $others $item -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{/* The keys that items are merged by: `patchMergeKey` of Kubernetes' API. Parameter: the first item of the list. */}}
{{- define "service.mergeKeys" -}}
{env: name, volumes: name, imagePullSecrets: name, ports: {{ ternary "containerPort" "port" (contains "containerPort" (toJson .)) }}, volumeMounts: mountPath, volumeDevices: devicePath, hostAliases: ip, topologySpreadConstraints: topologyKey}
{{- end }}

{{- define "service.mounts" -}}
{{- $values := .root.Values -}}
{{- $paths := list -}}
{{- if .main }}
{{- range $name, $volume := include "service.present" $values.volumes | fromJson }}
{{- with $volume.path }}
{{- $paths = append $paths . }}
- {name: {{ $name }}, mountPath: {{ quote . }}{{ with $volume.subPath }}, subPath: {{ quote . }}{{ end }}{{ if $volume.readOnly }}, readOnly: true{{ end }}}
{{- end }}
{{- end }}
{{- range $path, $content := include "service.present" $values.files | fromJson }}
- {name: files, mountPath: {{ quote $path }}, subPath: {{ include "service.filesKey" $path }}, readOnly: true}
{{- end }}
{{- range $path, $ref := include "service.present" $values.secretFiles | fromJson }}
- {name: {{ include "service.secretVolume" $ref.secret }}, mountPath: {{ quote $path }}, subPath: {{ quote $ref.key }}, readOnly: true}
{{- end }}
{{- else }}
{{- range $name, $path := include "service.present" .mounts | fromJson }}
{{- $paths = append $paths $path }}
- {name: {{ $name }}, mountPath: {{ quote $path }}}
{{- end }}
{{- end }}
{{- if and .readOnly (not (has "/tmp" $paths)) }}
- {name: tmp, mountPath: /tmp, subPath: {{ .name }}}
{{- end }}
{{- end }}

{{- define "service.secretVolume" -}}
secret-{{ . | replace "." "-" }}
{{- end }}

{{/* The volumes of the pod; in a StatefulSet, those with a size come from volumeClaimTemplates. */}}
{{- define "service.volumes" -}}
{{- $root := . -}}
{{- range $name, $volume := include "service.present" .Values.volumes | fromJson }}
{{- if $volume.temporary }}
- name: {{ $name }}
  emptyDir: { {{- with $volume.size }}sizeLimit: {{ . }}{{ end }}{{ if and $volume.size $volume.medium }}, {{ end }}{{ with $volume.medium }}medium: {{ . }}{{ end -}} }
{{- else if $volume.secret }}
- name: {{ $name }}
  secret: {secretName: {{ include "service.secretName" (dict "root" $root "name" $volume.secret) }}}
{{- else if $volume.config }}
- name: {{ $name }}
  configMap: {name: {{ $volume.config }}}
{{- else if $volume.source }}
- name: {{ $name }}
  {{- toYaml $volume.source | nindent 2 }}
{{- else if $volume.claim }}
- name: {{ $name }}
  persistentVolumeClaim: {claimName: {{ $volume.claim }}}
{{- else if ne $root.Values.kind "StatefulSet" }}
- name: {{ $name }}
  persistentVolumeClaim: {claimName: {{ $root.Release.Name }}-{{ $name }}}
{{- end }}
{{- end }}
{{- if include "service.strings" .Values.files }}
- name: files
  configMap: {name: {{ .Release.Name }}-files}
{{- end }}
{{- $secrets := dict -}}
{{- range $path, $ref := include "service.present" .Values.secretFiles | fromJson }}
{{- $_ := set $secrets (include "service.secretVolume" $ref.secret) (include "service.secretName" (dict "root" $root "name" $ref.secret)) }}
{{- end }}
{{- range $volume, $secret := $secrets }}
- name: {{ $volume }}
  secret: {secretName: {{ $secret }}}
{{- end }}
{{- $readOnly := (include "service.security" .Values.security | fromJson).readOnlyRootFilesystem }}
{{- range $containers := list .Values.sidecars .Values.initContainers }}
{{- range $name, $container := $containers }}
{{- if $container }}{{ if ($container.security | default dict).readOnlyRootFilesystem }}{{ $readOnly = true }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- if $readOnly }}
- name: tmp
  emptyDir: {}
{{- end }}
{{- end }}

{{/* The spec of a claim. Claim metadata of a StatefulSet is immutable, so it contains no version. */}}
{{- define "service.claim" -}}
accessModes: [{{ .accessMode | default "ReadWriteOnce" }}]
{{- if hasKey . "storageClass" }}
storageClassName: {{ quote .storageClass }}
{{- end }}
resources: {requests: {storage: {{ .size }}}}
{{- end }}

{{/* Claims to create: name -> volume, as JSON. */}}
{{- define "service.claims" -}}
{{- $out := dict -}}
{{- range $name, $volume := include "service.present" .Values.volumes | fromJson -}}
{{- if and $volume.size (not $volume.temporary) }}{{ $_ := set $out $name $volume }}{{ end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{- define "service.podTemplate" -}}
{{- $pod := ternary (dict "spec" .Values.pod) nil (not (empty .Values.pod)) -}}
{{- include "service.patched" (dict "text" (include "service.plainPodTemplate" .) "patch" $pod) }}
{{- end }}

{{- define "service.plainPodTemplate" -}}
{{- $root := . -}}
{{- $batch := has .Values.kind (list "Job" "CronJob") -}}
metadata:
  labels: {{- include "service.podLabels" . | nindent 4 }}
    {{- with include "service.strings" .Values.podLabels }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- $content := list (include "service.strings" .Values.config) (include "service.strings" .Values.files) }}
  {{- $secrets := include "service.strings" .Values.secretChecksums }}
  {{- $annotations := include "service.strings" .Values.podAnnotations }}
  {{- if or $annotations $secrets (join "" $content) }}
  annotations:
    {{- if join "" $content }}
    checksum/config: {{ toJson $content | sha256sum | trunc 16 | quote }}
    {{- end }}
    {{- with $secrets }}
    checksum/secrets: {{ sha256sum . | trunc 16 | quote }}
    {{- end }}
    {{- with $annotations }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  {{- $account := .Values.serviceAccount | default dict }}
  {{- with $account.name | default (ternary .Release.Name "" (eq (toString $account.create) "true")) }}
  serviceAccountName: {{ . }}
  {{- end }}
  automountServiceAccountToken: {{ $account.automount | default false }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int .Values.grace }}
  {{- if $batch }}
  restartPolicy: Never
  {{- end }}
  {{- with .Values.priorityClass }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with include "service.wanted" .Values.pullSecrets | fromJsonArray }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with include "service.strings" .Values.nodeSelector }}
  nodeSelector: {{- . | nindent 4 }}
  {{- end }}
  {{- with include "service.present" .Values.tolerations | fromJson }}
  tolerations:
    {{- range . }}
    - {{ toJson . }}
    {{- end }}
  {{- end }}
  {{- with include "service.present" .Values.spread | fromJson }}
  topologySpreadConstraints:
    {{- range $key, $mode := . }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      whenUnsatisfiable: {{ $mode }}
      labelSelector:
        matchLabels: {{- include "service.selectorLabels" $root | nindent 10 }}
    {{- end }}
  {{- end }}
  securityContext: {{- include "service.podSecurity" (include "service.security" .Values.security | fromJson) | nindent 4 }}
  {{- $init := include "service.present" .Values.initContainers | fromJson }}
  {{- $sidecars := include "service.present" .Values.sidecars | fromJson }}
  {{- if or $init $sidecars }}
  {{- /* A sidecar is an init container that keeps running while a Job finishes or a server drains. */}}
  initContainers:
    {{- range $name, $container := $init }}
    - {{ include "service.container" (dict "root" $root "name" $name "container" $container "init" true) | nindent 6 | trim }}
    {{- end }}
    {{- range $name, $container := $sidecars }}
    - {{ include "service.container" (dict "root" $root "name" $name "container" $container "sidecar" true) | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  containers:
    - {{ include "service.container" (dict "root" $root "name" .Release.Name "container" (pick .Values "command" "args" "env" "envFrom" "ports" "probes" "resources" "container") "main" true) | nindent 6 | trim }}
  {{- with include "service.volumes" . | trim }}
  volumes: {{- . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "service.jobSpec" -}}
backoffLimit: {{ int (.Values.backoffLimit | default 0) }}
{{- with .Values.deadline }}
activeDeadlineSeconds: {{ int . }}
{{- end }}
template: {{- include "service.podTemplate" . | nindent 2 }}
{{- end }}
