{{/* Stops the render with a sentence for each fault that the schema can't see. */}}
{{- define "lipstage.check" -}}
{{- $values := .Values -}}
{{- $faults := list -}}
{{- range $stage, $own := $values.stages -}}
  {{- if not (has $stage (splitList " " (include "lipstage.stages" $))) -}}
    {{- $faults = append $faults (printf "stages.%s: there is no such stage; stages are %s." $stage (include "lipstage.stages" $ | replace " " ", ")) -}}
  {{- end -}}
{{- end -}}
{{- range $engine, $own := $values.stages.infer -}}
  {{- if not (has $engine (splitList " " (include "lipstage.engines" $))) -}}
    {{- $faults = append $faults (printf "stages.infer.%s: there is no such engine; engines are %s." $engine (include "lipstage.engines" $ | replace " " ", ")) -}}
  {{- end -}}
{{- end -}}
{{- range $key, $one := include "lipstage.merged" . | fromJson -}}
  {{- $path := $one.path -}}
  {{- if gt (int $one.maxReplicas) (int $one.partitions) -}}
    {{- if eq $one.stage "projection" -}}
      {{- $faults = append $faults (printf "%s.replicas is %d: one projection reads all events; more would each know a part." $path (int $one.maxReplicas)) -}}
    {{- else -}}
      {{- $faults = append $faults (printf "%s: %d replicas and %d partitions: the others would never get a task. Raise kafka.workPartitions or lower the replicas." $path (int $one.maxReplicas) (int $one.partitions)) -}}
    {{- end -}}
  {{- end -}}
  {{- $faults = concat $faults (include "lipstage.podFaults" (dict "path" $path "service" $one) | fromJsonArray) -}}
  {{- if eq $one.stage "gateway" -}}
    {{- if not $values.gateway.keysSecret.name -}}
      {{- $faults = append $faults "gateway.keysSecret.name is empty: make the file by `lipstage keys create --file keys.jsonl`, and a Secret of it." -}}
    {{- end -}}
    {{- if eq (int $values.gateway.port) (int $values.gateway.grpcPort) -}}
      {{- $faults = append $faults (printf "gateway.port and gateway.grpcPort are both %d: HTTP and gRPC need a port each." (int $values.gateway.port)) -}}
    {{- end -}}
  {{- end -}}
  {{- if and (eq $one.stage "webhooks") (not $values.keys.webhookKey) -}}
    {{- $faults = append $faults "keys.webhookKey is empty: name the key of keys.existingSecret with the secret, of 32 bytes or more, that webhooks are signed with." -}}
  {{- end -}}
  {{- if and (has $one.stage (list "relay" "projection" "gateway" "webhooks")) (ne $one.autoscaling.mode "none") -}}
    {{- $faults = append $faults (printf "%s.autoscaling.mode is %s: the %s is not scaled by lag; set none." $path $one.autoscaling.mode $one.stage) -}}
  {{- end -}}
  {{- if and (ne $one.autoscaling.mode "none") (gt (int $one.autoscaling.minReplicas) (int $one.autoscaling.maxReplicas)) -}}
    {{- $faults = append $faults (printf "%s.autoscaling: minReplicas %d is above maxReplicas %d." $path (int $one.autoscaling.minReplicas) (int $one.autoscaling.maxReplicas)) -}}
  {{- end -}}
  {{- if and (eq $one.autoscaling.mode "hpa") (eq $one.autoscaling.hpa.metric "cpu") (gt (int $one.gpu.count) 0) -}}
    {{- $faults = append $faults (printf "%s.autoscaling: a stage that works on a GPU can't be scaled by CPU; set autoscaling.hpa.metric to lag, or mode to keda." $path) -}}
  {{- end -}}
  {{- if and (eq $one.weights.source "s3") (not (hasPrefix "s3://" $one.weights.s3Url)) -}}
    {{- $faults = append $faults (printf "%s.weights.s3Url is not s3://BUCKET/PREFIX, where its weights are." $path) -}}
  {{- end -}}
  {{- if and (eq $one.weights.source "pvc") (not $one.weights.pvc.claimName) -}}
    {{- $faults = append $faults (printf "%s.weights.pvc.claimName is empty: name the claim with the weights." $path) -}}
  {{- end -}}
  {{- if and (eq $one.engine "sonic") (lt (int $one.gpu.count) 1) -}}
    {{- $faults = append $faults (printf "%s.gpu.count is 0: the engine needs a GPU; another vendor's or a slice is gpu.resourceName." $path) -}}
  {{- end -}}
  {{- if and (eq $one.engine "sonic") (gt (int $one.slots) (max 1 (int $one.gpu.count))) -}}
    {{- $faults = append $faults (printf "%s.slots is %d and gpu.count %d: each task fills a GPU of its own. Lower slots or raise gpu.count." $path (int $one.slots) (int $one.gpu.count)) -}}
  {{- end -}}
  {{- if and (ne $one.autoscaling.mode "none") $one.autoscaling.fallback (ne (len $one.autoscaling.fallback) 2) -}}
    {{- $faults = append $faults (printf "%s.autoscaling.fallback needs both failureThreshold and replicas." $path) -}}
  {{- end -}}
  {{- $rolling := $one.strategy.rollingUpdate -}}
  {{- if and (eq $one.strategy.type "RollingUpdate") (include "lipstage.isZero" $rolling.maxSurge) (include "lipstage.isZero" $rolling.maxUnavailable) -}}
    {{- $faults = append $faults (printf "%s.strategy.rollingUpdate: maxSurge and maxUnavailable are both 0: an upgrade could not replace a pod." $path) -}}
  {{- end -}}
  {{- if and (eq $one.engine "sonic") (eq $one.weights.source "none") -}}
    {{- $faults = append $faults (printf "%s.weights.source is none: the engine's weights are not shipped; set image, pvc or s3." $path) -}}
  {{- end -}}
{{- end -}}
{{- $faults = concat $faults (include "lipstage.podFaults" (dict "path" "ops" "service" (include "lipstage.ops" . | fromJson)) | fromJsonArray) -}}
{{- if not (include "lipstage.enabledEngines" .) -}}
  {{- $faults = append $faults "no engine is enabled: every request would be rejected. Enable one of stages.infer, or name those of another release in extraEngines." -}}
{{- end -}}
{{- $faults = concat $faults (include "lipstage.nameFaults" . | fromJsonArray) (include "lipstage.connectionFaults" . | fromJsonArray) -}}
{{- if $faults -}}
  {{- fail (printf "\n%s\n" (uniq $faults | join "\n")) -}}
{{- end -}}
{{- end -}}

{{- define "lipstage.isZero" -}}
{{- if regexMatch "^0+%?$" (toString .) }}true{{ end -}}
{{- end -}}

{{/* Faults of names, as JSON. */}}
{{- define "lipstage.nameFaults" -}}
{{- $faults := list -}}
{{- $name := include "lipstage.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
  {{- $faults = append $faults (printf "The release is named %s: names of Services begin with a letter. Set fullnameOverride." .Release.Name) -}}
{{- end -}}
{{- if eq .Values.serviceAccount.name (printf "%s-setup" $name) -}}
  {{- $faults = append $faults (printf "serviceAccount.name is %s, the account that the hooks make for themselves and delete: choose another." .Values.serviceAccount.name) -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}
