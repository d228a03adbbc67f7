{{/* The release's name, with the chart's in it. */}}
{{- define "vesper-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vesper-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vesper-operator.labels" -}}
{{ include "vesper-operator.selector" . }}
app.kubernetes.io/part-of: vesper
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "vesper-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "vesper-operator.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The subject of every binding. */}}
{{- define "vesper-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "vesper-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* The rules of the role of that name: list of context and name. */}}
{{- define "vesper-operator.rules" -}}
{{- $rules := (index . 0).Files.Get "files/rules.yaml" | fromYaml -}}
{{- toYaml (required (printf "files/rules.yaml has no role %s" (index . 1)) (index $rules (index . 1))) -}}
{{- end -}}
