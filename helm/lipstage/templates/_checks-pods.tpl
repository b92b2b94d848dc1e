{{/* Faults of a pod: (path, service), as JSON. */}}
{{- define "lipstage.podFaults" -}}
{{- $path := .path -}}
{{- $one := .service -}}
{{- $faults := list -}}
{{- $sleep := dig "preStop" "sleep" "seconds" 0 $one.lifecycle | float64 -}}
{{- if lt (float64 $one.terminationGracePeriodSeconds) (addf $one.drainSeconds $sleep 8.0) -}}
  {{- $hook := gt $sleep 0.0 | ternary (printf ", lifecycle.preStop.sleep.seconds %v" $sleep) "" -}}
  {{- $faults = append $faults (printf "%s.terminationGracePeriodSeconds is %v and drainSeconds %v%s: a draining pod would be killed. It must be at least their sum + 8, for leaving the group and the last spans." $path $one.terminationGracePeriodSeconds $one.drainSeconds $hook) -}}
{{- end -}}
{{- if ne $one.stage "infer" -}}
  {{- if gt (int $one.gpu.count) 0 -}}
    {{- $faults = append $faults (printf "%s.gpu.count is %d: only infer can use a GPU." $path (int $one.gpu.count)) -}}
  {{- end -}}
  {{- range $part, $quantities := $one.resources -}}
    {{- range $name, $_ := $quantities -}}
      {{- if contains "/" $name -}}
        {{- $faults = append $faults (printf "%s.resources.%s has %s: only infer can use a GPU or another device." $path $part $name) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- if ne $one.weights.source "none" -}}
    {{- $faults = append $faults (printf "%s.weights.source is %s: only infer has weights." $path $one.weights.source) -}}
  {{- end -}}
{{- end -}}
{{- $faults = concat $faults (include "lipstage.resourceFaults" . | fromJsonArray) (include "lipstage.variableFaults" . | fromJsonArray) -}}
{{- $faults | toJson -}}
{{- end -}}

{{/* Faults of requests and limits: (path, service), as JSON. */}}
{{- define "lipstage.resourceFaults" -}}
{{- $path := .path -}}
{{- $one := .service -}}
{{- $faults := list -}}
{{- $limits := $one.resources.limits | default dict -}}
{{- $disk := include "lipstage.diskSize" $one -}}
{{- $requests := include "lipstage.requests" $one | fromYaml -}}
{{- if lt (include "lipstage.quantity" (get $requests "ephemeral-storage") | float64) (include "lipstage.quantity" $disk | float64) -}}
  {{- $faults = append $faults (printf "%s.resources.requests.ephemeral-storage is %v and the pod's volumes hold %s: it would be evicted. Leave it out, or raise it." $path (get $requests "ephemeral-storage") $disk) -}}
{{- end -}}
{{- range $name, $request := $requests -}}
  {{- if hasKey $limits $name -}}
    {{- if lt (include "lipstage.quantity" (get $limits $name) | float64) (include "lipstage.quantity" $request | float64) -}}
      {{- $faults = append $faults (printf "%s.resources.limits.%s is %v, below the request %v." $path $name (get $limits $name) $request) -}}
    {{- end -}}
  {{- end -}}
  {{- if and (contains "/" $name) (eq $one.stage "infer") (ne (include "lipstage.quantity" $request) (include "lipstage.quantity" (get $limits $name | default 0))) -}}
    {{- $faults = append $faults (printf "%s.resources.requests.%s is %v: the cluster takes a device as a limit. Use gpu, or resources.limits." $path $name $request) -}}
  {{- end -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{/* Faults of extraEnv: (path, service), as JSON. */}}
{{- define "lipstage.variableFaults" -}}
{{- $path := .path -}}
{{- $faults := list -}}
{{- $own := dict "KAFKA_BOOTSTRAP_SERVERS" "kafka.bootstrapServers" "KAFKA_PROPERTIES_FILE" "kafka.properties" "LIPSTAGE_TOPIC_PREFIX" "kafka.topicPrefix" -}}
{{- $own = merge $own (dict "LIPSTAGE_WORK_PARTITIONS" "kafka.workPartitions" "LIPSTAGE_RETRY_TIERS" "kafka.retryTiers" "LIPSTAGE_ENGINES" "stages.infer and extraEngines") -}}
{{- $own = merge $own (dict "LIPSTAGE_DRAIN_S" "drainSeconds" "LIPSTAGE_SLOTS" "slots" "LIPSTAGE_POD_DELETION_COST" "podDeletionCost.enabled") -}}
{{- $own = merge $own (dict "LIPSTAGE_PROJECTION_HOST" "projection.port" "LIPSTAGE_PROJECTION_PORT" "projection.port") -}}
{{- $own = merge $own (dict "LIPSTAGE_GATEWAY_HOST" "gateway.port" "LIPSTAGE_GATEWAY_PORT" "gateway.port" "LIPSTAGE_GATEWAY_GRPC_PORT" "gateway.grpcPort" "LIPSTAGE_GATEWAY_KEYS_FILE" "gateway.keysSecret") -}}
{{- $names := list -}}
{{- range .service.extraEnv -}}
  {{- if hasKey $own .name -}}
    {{- $faults = append $faults (printf "%s.extraEnv has %s, which other parts of the chart must know: use %s." $path .name (get $own .name)) -}}
  {{- else if has .name (list "LIPSTAGE_HEALTH_HOST" "LIPSTAGE_HEALTH_PORT") -}}
    {{- $faults = append $faults (printf "%s.extraEnv has %s: probes and metrics use port 8080, which no value changes. Leave it out; paths and times are probes." $path .name) -}}
  {{- else if has .name $names -}}
    {{- $faults = append $faults (printf "%s.extraEnv has %s twice." $path .name) -}}
  {{- end -}}
  {{- $names = append $names .name -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}
