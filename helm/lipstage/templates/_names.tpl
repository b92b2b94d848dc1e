{{/*
Prefix of names: the release's name unless it is set. KEDA adds nine characters to the longest, of 63. A Service's name
has no dot.
*/}}
{{- define "lipstage.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | replace "." "-" | trunc 40 | trimAll "-" -}}
{{- end -}}

{{- define "lipstage.selectorLabels" -}}
app.kubernetes.io/name: lipstage
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every pod: none that changes with the chart's version alone, since that would restart it. */}}
{{- define "lipstage.podLabels" -}}
{{ include "lipstage.selectorLabels" . }}
# Also the scrape job that the alerts expect.
app.kubernetes.io/part-of: lipstage
{{- end -}}

{{- define "lipstage.labels" -}}
{{ include "lipstage.selectorLabels" . }}
app.kubernetes.io/part-of: lipstage
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The image of a service: (root, service). */}}
{{- define "lipstage.image" -}}
{{- $root := .root -}}
{{- $image := .service.image -}}
{{- with $root.Values.image.registry }}{{ . }}/{{ end -}}
{{- $root.Values.image.repository }}/{{ $image.name | default .service.key -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* The service account of a service: (root, key). */}}
{{- define "lipstage.serviceAccount" -}}
{{- $account := .root.Values.serviceAccount -}}
{{- $name := $account.name | default (include "lipstage.fullname" .root) -}}
{{- if not $account.create -}}
{{- $account.name | default "default" -}}
{{- else if $account.perStage -}}
{{- printf "%s-%s" $name .key -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}
