{{/* A quantity of Kubernetes, such as 500m or 4Gi, as a number. */}}
{{- define "lipstage.quantity" -}}
{{- $text := toString . -}}
{{- if not (kindIs "string" .) }}{{- $text = printf "%f" (float64 .) -}}{{- end -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $factors := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 -}}
{{- mulf (float64 $number) (get $factors $unit | default 1.0) | printf "%.3f" -}}
{{- end -}}

{{/* What a service may write to its node: its emptyDirs that lie on disk. In MiB, rounded up: 6400Mi. */}}
{{- define "lipstage.diskSize" -}}
{{- $bytes := addf (include "lipstage.quantity" .scratch.sizeLimit | float64) (include "lipstage.quantity" .tmp.sizeLimit | float64) -}}
{{- if eq .weights.source "s3" -}}
  {{- $bytes = addf $bytes (include "lipstage.quantity" .weights.sizeLimit | float64) -}}
{{- end -}}
{{- printf "%dMi" (divf $bytes 1048576.0 | ceil | int64) -}}
{{- end -}}

{{/* Requests of a service: its own, and its disk. */}}
{{- define "lipstage.requests" -}}
{{- merge (dict) (.resources.requests | default dict) (dict "ephemeral-storage" (include "lipstage.diskSize" .)) | toYaml -}}
{{- end -}}
