{{/*
Every service as JSON, by the name of its Deployment without the release's: `defaults` merged with what the stage sets,
and its stage, engine, arguments, topics (one a lane), partitions and group. Stops the render when checks find a fault.
*/}}
{{- define "lipstage.services" -}}
{{- include "lipstage.check" . -}}
{{- include "lipstage.merged" . -}}
{{- end -}}

{{- define "lipstage.stages" -}}
audio face infer encode relay projection gateway webhooks
{{- end -}}

{{- define "lipstage.engines" -}}
puppet sonic
{{- end -}}

{{/* The services without checks. An unknown stage is passed on as it is, for the check that names it. */}}
{{- define "lipstage.merged" -}}
{{- $root := . -}}
{{- $services := dict -}}
{{- range $stage, $values := .Values.stages -}}
  {{- $engines := dict "" ($values | default dict) -}}
  {{- if eq $stage "infer" -}}{{- $engines = $values | default dict -}}{{- end -}}
  {{- range $engine, $own := $engines -}}
    {{- $service := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy ($own | default dict)) -}}
    {{- $key := not (empty $engine) | ternary (printf "%s-%s" $stage $engine) $stage -}}
    {{- $path := not (empty $engine) | ternary (printf "stages.%s.%s" $stage $engine) (printf "stages.%s" $stage) -}}
    {{- if $service.enabled -}}
      {{- $_ := set $service "key" $key -}}
      {{- $_ := set $service "path" $path -}}
      {{- $_ := set $service "stage" $stage -}}
      {{- $_ := set $service "engine" $engine -}}
      {{- $_ := set $service "args" (list "stage" $stage) -}}
      {{- $source := get (dict "audio" "requests" "face" "face" "encode" "encode") $stage -}}
      {{- $partitions := int $root.Values.kafka.workPartitions -}}
      {{- $group := $stage -}}
      {{- if $engine -}}
        {{- $_ := set $service "args" (list "stage" $stage "--engine" $engine) -}}
        {{- $source = printf "infer.%s" $engine -}}
        {{- $group = printf "infer.%s" $engine -}}
      {{- else if eq $stage "relay" -}}
        {{- $partitions = mul 4 (len $root.Values.kafka.retryTiers) | int -}}
      {{- else if eq $stage "projection" -}}
        {{- $partitions = 1 -}}
      {{- else if eq $stage "gateway" -}}
        {{- $partitions = 1000 -}}
      {{- else if eq $stage "webhooks" -}}
        {{- $partitions = 16 -}}
      {{- end -}}
      {{- $topic := printf "%srender.%s" $root.Values.kafka.topicPrefix $source -}}
      {{- $_ := set $service "topics" (not (empty $source) | ternary (list $topic (printf "%s.bulk" $topic)) list) -}}
      {{- $_ := set $service "group" (printf "%slipstage.%s" $root.Values.kafka.topicPrefix $group) -}}
      {{- $_ := set $service "partitions" $partitions -}}
      {{- $most := ternary (int $service.replicas) (int $service.autoscaling.maxReplicas) (eq $service.autoscaling.mode "none") -}}
      {{- $_ := set $service "maxReplicas" $most -}}
      {{- $_ := set $services $key $service -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $services | toJson -}}
{{- end -}}

{{/* The pods of the command line, in the form of a service. */}}
{{- define "lipstage.ops" -}}
{{- $service := mergeOverwrite (deepCopy .Values.defaults) (deepCopy .Values.ops) -}}
{{- $_ := set $service "key" "ops" -}}
{{- $_ := set $service "path" "ops" -}}
{{- $_ := set $service "stage" "" -}}
{{- $_ := set $service "engine" "" -}}
{{- $service | toJson -}}
{{- end -}}

{{/* Enabled engines, comma-separated: those of this release and of others. */}}
{{- define "lipstage.enabledEngines" -}}
{{- $engines := .Values.extraEngines -}}
{{- range $key, $service := include "lipstage.merged" . | fromJson -}}
  {{- if $service.engine }}{{- $engines = append $engines $service.engine -}}{{- end -}}
{{- end -}}
{{- $engines | uniq | sortAlpha | join "," -}}
{{- end -}}
