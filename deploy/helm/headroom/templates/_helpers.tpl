{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{- define "headroom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains "headroom" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-headroom" (.Release.Name | trunc 41 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{- define "headroom.selector" -}}
app.kubernetes.io/name: headroom
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headroom.labels" -}}
{{ include "headroom.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "headroom.serviceAccount" -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create: false takes a serviceAccount.name, or rbac.create: false; else the namespace's default account could list all pods" -}}
{{- end -}}
{{- .Values.serviceAccount.name | default (ternary (include "headroom.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "headroom.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "headroom.priorityClass" -}}
{{- .Values.priorityClass.name | default (ternary (include "headroom.fullname" .) "" .Values.priorityClass.create) -}}
{{- end -}}

{{/*
headroom.web says, as JSON, how the agent serves:
  made                whether the chart makes web.yml
  secret              the Secret that has web.yml; "" for none
  tls, tlsSecret      whether it serves TLS, and the Secret that has the certificate
  password            whether it asks for a password
  clientCertificates  whether it asks for certificates of clients
*/}}
{{- define "headroom.web" -}}
{{- $name := include "headroom.fullname" . -}}
{{- $web := .Values.web -}}
{{- $all := eq $web.expose "all" -}}
{{- if $web.config.secretName -}}
{{- if or $web.password.enabled $web.tls.secretName $web.tls.certManager.enabled -}}
{{- fail "web.config.secretName: the file has passwords and certificates of its own; remove web.password and web.tls" -}}
{{- end -}}
{{- if and $all (not (or $web.config.password $web.config.clientCertificates)) -}}
{{- fail "web.expose: all would let every pod of the cluster read findings; have passwords or clients' certificates in web.yml, and set web.config.password or web.config.clientCertificates" -}}
{{- end -}}
{{- if and $web.config.clientCertificates (not $web.config.tls) -}}
{{- fail "web.config.clientCertificates: clients show certificates over TLS alone; web.yml has a tls_server_config, so set web.config.tls" -}}
{{- end -}}
{{- merge (dict "made" false "secret" $web.config.secretName "tlsSecret" "") (omit $web.config "secretName") | toJson -}}
{{- else -}}
{{- if or $web.config.tls $web.config.password $web.config.clientCertificates -}}
{{- fail "web.config: these say what the file in web.config.secretName has, and none is named" -}}
{{- end -}}
{{- if and $web.tls.secretName $web.tls.certManager.enabled -}}
{{- fail "web.tls: takes the certificate of secretName, or one of certManager, not both" -}}
{{- end -}}
{{- $certificate := ternary (printf "%s-tls" $name) $web.tls.secretName $web.tls.certManager.enabled -}}
{{- $password := or $all $web.password.enabled -}}
{{- $made := or $password (ne $certificate "") -}}
{{- dict "made" $made "secret" (ternary (printf "%s-web" $name) "" $made) "tls" (ne $certificate "") "tlsSecret" $certificate
	"password" $password "clientCertificates" false | toJson -}}
{{- end -}}
{{- end -}}

{{/* The name in the certificate that cert-manager makes: that of the Service. */}}
{{- define "headroom.serverName" -}}
{{ include "headroom.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* A probe of the path given, as far as the kubelet can ask for it. */}}
{{- define "headroom.probe" -}}
{{- $web := include "headroom.web" . | fromJson -}}
{{- if $web.clientCertificates -}}
tcpSocket: {port: metrics}
{{- else -}}
httpGet: {path: {{ .path }}, port: metrics, scheme: {{ ternary "HTTPS" "HTTP" $web.tls }}}
{{- end -}}
{{- end -}}

{{/* A duration of Prometheus, such as 1m30s, in milliseconds. */}}
{{- define "headroom.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit . | int64) (get $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
