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
headroom.web returns the settings of the agent's server as JSON:
  made                whether the chart makes web.yml
  secret              the Secret with web.yml; "" for none
  tls, tlsSecret      whether it serves TLS, and the Secret with the certificate
  password            whether it requires a password
  clientCertificates  whether it requires client certificates
*/}}
{{- define "headroom.web" -}}
{{- $name := include "headroom.fullname" . -}}
{{- $web := .Values.web -}}
{{- $all := eq $web.expose "all" -}}
{{- if $web.config.secretName -}}
{{- if or $web.password.enabled $web.tls.secretName $web.tls.certManager.enabled -}}
{{- fail "web.config.secretName: the Secret already configures passwords and certificates; remove web.password and web.tls" -}}
{{- end -}}
{{- if and $all (not (or $web.config.password $web.config.clientCertificates)) -}}
{{- fail "web.expose: all would let every pod of the cluster read findings; configure passwords or client certificates in web.yml, and set web.config.password or web.config.clientCertificates" -}}
{{- end -}}
{{- if and $web.config.clientCertificates (not $web.config.tls) -}}
{{- fail "web.config.clientCertificates: client certificates require TLS; add a tls_server_config to web.yml and set web.config.tls" -}}
{{- end -}}
{{- merge (dict "made" false "secret" $web.config.secretName "tlsSecret" "") (omit $web.config "secretName") | toJson -}}
{{- else -}}
{{- if or $web.config.tls $web.config.password $web.config.clientCertificates -}}
{{- fail "web.config: tls, password and clientCertificates describe the file in web.config.secretName; set web.config.secretName, or remove them" -}}
{{- end -}}
{{- if and $web.tls.secretName $web.tls.certManager.enabled -}}
{{- fail "web.tls: set secretName or certManager.enabled, not both" -}}
{{- end -}}
{{- $certificate := ternary (printf "%s-tls" $name) $web.tls.secretName $web.tls.certManager.enabled -}}
{{- $password := or $all $web.password.enabled -}}
{{- $made := or $password (ne $certificate "") -}}
{{- dict "made" $made "secret" (ternary (printf "%s-web" $name) "" $made) "tls" (ne $certificate "") "tlsSecret" $certificate
	"password" $password "clientCertificates" false | toJson -}}
{{- end -}}
{{- end -}}

{{/* The name in the certificate that cert-manager makes: the name of the Service. */}}
{{- define "headroom.serverName" -}}
{{ include "headroom.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* A probe of the path; a TCP probe if client certificates are required, which the kubelet lacks. */}}
{{- define "headroom.probe" -}}
{{- $web := include "headroom.web" . | fromJson -}}
{{- if $web.clientCertificates -}}
tcpSocket: {port: metrics}
{{- else -}}
httpGet: {path: {{ .path }}, port: metrics, scheme: {{ ternary "HTTPS" "HTTP" $web.tls }}}
{{- end -}}
{{- end -}}

{{/* A Prometheus duration, such as 1m30s, in milliseconds. */}}
{{- define "headroom.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit . | int64) (get $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
