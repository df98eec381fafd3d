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

{{/* A probe of the path given, as far as the kubelet may see it. */}}
{{- define "headroom.probe" -}}
{{- if eq .Values.web.probes "tcp" -}}
tcpSocket: {port: metrics}
{{- else -}}
httpGet: {path: {{ .path }}, port: metrics, scheme: {{ ternary "HTTPS" "HTTP" .Values.web.tls }}}
{{- end -}}
{{- end -}}
