{{/* What every name begins with: the release's name, and ours unless it says that already. */}}
{{- define "agenttask.name" -}}
{{- if contains "agenttask" .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-agenttask" (.Release.Name | trunc 30) }}
{{- end -}}
{{- end -}}

{{- define "agenttask.operator" -}}
{{ include "agenttask.name" . }}-operator
{{- end -}}

{{- define "agenttask.labels" -}}
app.kubernetes.io/part-of: agenttask
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The labels that select the operator's pods; a Deployment never lets them change. */}}
{{- define "agenttask.selector" -}}
app.kubernetes.io/name: agenttask-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agenttask.natsURL" -}}
{{- if .Values.nats.bundled.enabled -}}
nats://{{ include "agenttask.name" . }}-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{ .Values.nats.url }}
{{- end -}}
{{- end -}}

{{/* Pod Security `restricted`, for each container. */}}
{{- define "agenttask.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end -}}
