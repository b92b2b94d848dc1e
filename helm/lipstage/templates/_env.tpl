{{/* The variables of a container: (root, service). What extraEnv sets replaces the chart's. */}}
{{- define "lipstage.env" -}}
{{- $extra := .service.extraEnv -}}
{{- $names := list -}}
{{- range $extra }}{{- $names = append $names .name -}}{{- end -}}
{{- $all := list -}}
{{- range concat (include "lipstage.ownEnv" . | fromYamlArray) (include "lipstage.serviceEnv" . | fromYamlArray) -}}
  {{- if not (has .name $names) -}}{{- $all = append $all . -}}{{- end -}}
{{- end -}}
{{- concat $all $extra | toYaml -}}
{{- end -}}

{{/* Variables of every container. */}}
{{- define "lipstage.ownEnv" -}}
{{- $values := .root.Values }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- {name: HOME, value: /scratch/home}
- {name: TMPDIR, value: /tmp}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ $values.kafka.bootstrapServers | quote }}}
- {name: KAFKA_PROPERTIES_FILE, value: /etc/lipstage/kafka/kafka.properties}
- {name: LIPSTAGE_TOPIC_PREFIX, value: {{ $values.kafka.topicPrefix | quote }}}
- {name: LIPSTAGE_ENGINES, value: {{ include "lipstage.enabledEngines" .root | quote }}}
- {name: LIPSTAGE_RETRY_TIERS, value: {{ join "," $values.kafka.retryTiers | quote }}}
- {name: LIPSTAGE_WORK_PARTITIONS, value: {{ $values.kafka.workPartitions | int | quote }}}
- {name: LIPSTAGE_RETENTION_EVENTS_DAYS, value: {{ $values.kafka.retention.eventsDays | int | quote }}}
- {name: LIPSTAGE_RETENTION_DEAD_LETTER_RECORDS_DAYS, value: {{ $values.kafka.retention.deadLettersDays | int | quote }}}
- {name: LIPSTAGE_GROUP_PROTOCOL, value: {{ $values.kafka.groupProtocol | quote }}}
- {name: LIPSTAGE_TENANCY, value: {{ $values.tenancy.mode | quote }}}
- {name: LIPSTAGE_TENANT, value: {{ $values.tenancy.tenant | quote }}}
- {name: LIPSTAGE_TENANT_PARTITIONS, value: {{ $values.tenancy.partitions | int | quote }}}
- {name: LIPSTAGE_TRUST_TRACE_CONTEXT, value: {{ $values.telemetry.trustTraceContext | quote }}}
- {name: LIPSTAGE_STATE_DIR, value: /scratch/state}
{{- with $values.s3.endpointUrl }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
{{- end }}
- {name: AWS_REGION, value: {{ $values.s3.region | default "us-east-1" | quote }}}
{{- if eq $values.s3.credentials "secret" }}
{{- $keys := .service.credentials.s3Secret | default $values.s3.existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: {{ $values.s3.accessKeyIdKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: {{ $values.s3.secretAccessKeyKey }}}}
{{- end }}
{{- if $values.s3.caSecret.name }}
- {name: AWS_CA_BUNDLE, value: /etc/lipstage/s3-ca/{{ $values.s3.caSecret.key }}}
{{- end }}
- {name: LIPSTAGE_S3_ADDRESSING, value: {{ $values.s3.addressing | quote }}}
- {name: LIPSTAGE_BUCKET, value: {{ $values.s3.bucket | quote }}}
- {name: LIPSTAGE_INPUT_BUCKETS, value: {{ $values.s3.inputBuckets | toJson | quote }}}
- {name: LIPSTAGE_OUTPUT_BUCKETS, value: {{ $values.s3.outputBuckets | toJson | quote }}}
- {name: LIPSTAGE_RETENTION_FRAMES_DAYS, value: {{ $values.s3.retention.framesDays | int | quote }}}
- {name: LIPSTAGE_RETENTION_JOBS_DAYS, value: {{ $values.s3.retention.jobsDays | int | quote }}}
- {name: LIPSTAGE_RETENTION_CACHE_DAYS, value: {{ $values.s3.retention.cacheDays | int | quote }}}
- {name: LIPSTAGE_RETENTION_INPUTS_DAYS, value: {{ $values.s3.retention.inputsDays | int | quote }}}
- {name: LIPSTAGE_RETENTION_DEAD_LETTERS_DAYS, value: {{ $values.s3.retention.deadLettersDays | int | quote }}}
- {name: LIPSTAGE_RETENTION_CHECKPOINTS_DAYS, value: {{ $values.s3.retention.checkpointsDays | int | quote }}}
- {name: LIPSTAGE_RETENTION_ERASURES_DAYS, value: {{ $values.s3.retention.erasuresDays | int | quote }}}
- name: LIPSTAGE_CACHE_KEY
  valueFrom: {secretKeyRef: {name: {{ $values.keys.existingSecret }}, key: {{ $values.keys.cacheKey }}}}
{{- with $values.keys.hashKey }}
- name: LIPSTAGE_HASH_KEY
  valueFrom: {secretKeyRef: {name: {{ $values.keys.existingSecret }}, key: {{ . }}}}
{{- end }}
{{- with $values.keys.tenantKey }}
- name: LIPSTAGE_TENANT_KEY
  valueFrom: {secretKeyRef: {name: {{ $values.keys.existingSecret }}, key: {{ . }}}}
{{- end }}
{{- if $values.telemetry.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ $values.telemetry.endpoint | quote }}}
- {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ $values.telemetry.protocol | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ $values.telemetry.sampleRatio | toString | quote }}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ printf "deployment.environment.name=%s,k8s.namespace.name=$(POD_NAMESPACE),k8s.deployment.name=%s-%s,k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME),service.instance.id=$(POD_NAME)" $values.telemetry.environment (include "lipstage.fullname" .root) .service.key | quote }}
{{- if $values.telemetry.headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ $values.telemetry.headersSecret.name }}, key: {{ $values.telemetry.headersSecret.key }}}}
{{- end }}
{{- if $values.telemetry.caSecret.name }}
- {name: OTEL_EXPORTER_OTLP_CERTIFICATE, value: /etc/lipstage/otlp-ca/{{ $values.telemetry.caSecret.key }}}
{{- end }}
{{- end }}
{{- if .service.stage | ne "projection" | and (hasKey (include "lipstage.merged" .root | fromJson) "projection") }}
- {name: LIPSTAGE_PROJECTION_URL, value: "http://{{ include "lipstage.fullname" .root }}-projection:{{ $values.projection.port | int }}"}
{{- end }}
{{- end -}}

{{/* Variables of a service; the command line's pods have none of them. */}}
{{- define "lipstage.serviceEnv" -}}
{{- $service := .service -}}
{{- if $service.stage }}
- {name: LIPSTAGE_DRAIN_S, value: {{ $service.drainSeconds | toString | quote }}}
- {name: LIPSTAGE_SLOTS, value: {{ $service.slots | int | quote }}}
- {name: LIPSTAGE_SCRATCH_DIR, value: /scratch}
- {name: LIPSTAGE_HEALTH_HOST, value: 0.0.0.0}
- {name: LIPSTAGE_HEALTH_PORT, value: "8080"}
{{- if .root.Values.quotas }}
- {name: LIPSTAGE_QUOTAS_FILE, value: /etc/lipstage/quotas/quotas.json}
{{- end }}
{{- if has $service.stage (list "audio" "face" "infer" "encode") }}
- {name: LIPSTAGE_CONFINEMENT, value: {{ $service.confinement | quote }}}
{{- end }}
{{- if has $service.stage (list "audio" "encode") }}
{{- $provenance := .root.Values.provenance }}
- {name: LIPSTAGE_CONSENT, value: {{ $provenance.consent | quote }}}
- {name: LIPSTAGE_TENANT_POLICIES, value: {{ $provenance.tenantPolicies | toJson | quote }}}
{{- if eq $service.stage "encode" }}
{{- with $provenance.marks }}
- {name: LIPSTAGE_PROVENANCE, value: {{ join "," . | quote }}}
{{- end }}
- {name: LIPSTAGE_AIGC_PRODUCER, value: {{ $provenance.aigcProducer | quote }}}
- {name: LIPSTAGE_LABEL, value: {{ $provenance.label | quote }}}
{{- if $provenance.c2paSecret.name }}
- {name: LIPSTAGE_C2PA_CERTIFICATE_FILE, value: /etc/lipstage/c2pa/{{ $provenance.c2paSecret.certificateKey }}}
- {name: LIPSTAGE_C2PA_PRIVATE_KEY_FILE, value: /etc/lipstage/c2pa/{{ $provenance.c2paSecret.privateKeyKey }}}
{{- end }}
{{- end }}
{{- end }}
{{- if include "lipstage.writesDeletionCost" . }}
- {name: LIPSTAGE_POD_DELETION_COST, value: "true"}
{{- end }}
{{- if eq $service.stage "projection" }}
- {name: LIPSTAGE_PROJECTION_HOST, value: 0.0.0.0}
- {name: LIPSTAGE_PROJECTION_PORT, value: {{ .root.Values.projection.port | int | quote }}}
{{- end }}
{{- if eq $service.stage "gateway" }}
{{- $gateway := .root.Values.gateway }}
- {name: LIPSTAGE_GATEWAY_HOST, value: 0.0.0.0}
- {name: LIPSTAGE_GATEWAY_PORT, value: {{ $gateway.port | int | quote }}}
{{- if $gateway.grpcPort }}
- {name: LIPSTAGE_GATEWAY_GRPC_PORT, value: {{ $gateway.grpcPort | int | quote }}}
{{- end }}
- {name: LIPSTAGE_GATEWAY_KEYS_FILE, value: /etc/lipstage/api-keys/{{ $gateway.keysSecret.key }}}
{{- with $gateway.publicUrl }}
- {name: LIPSTAGE_GATEWAY_PUBLIC_URL, value: {{ . | quote }}}
{{- end }}
{{- with $gateway.corsOrigins }}
- {name: LIPSTAGE_GATEWAY_CORS_ORIGINS, value: {{ join "," . | quote }}}
{{- end }}
- {name: LIPSTAGE_GATEWAY_DELIVERY, value: {{ $gateway.delivery }}}
{{- with $gateway.s3PublicUrl }}
- {name: LIPSTAGE_GATEWAY_S3_PUBLIC_URL, value: {{ . | quote }}}
{{- end }}
{{- with $gateway.grafanaUrl }}
- {name: LIPSTAGE_GATEWAY_GRAFANA_URL, value: {{ . | quote }}}
{{- end }}
{{- with $gateway.tempoUrl }}
- {name: LIPSTAGE_TEMPO_URL, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- if and (has $service.stage (list "gateway" "webhooks")) .root.Values.keys.webhookKey }}
- name: LIPSTAGE_WEBHOOK_KEY
  valueFrom: {secretKeyRef: {name: {{ .root.Values.keys.existingSecret }}, key: {{ .root.Values.keys.webhookKey }}}}
{{- with .root.Values.webhooks.allowNetworks }}
- {name: LIPSTAGE_WEBHOOK_ALLOW_NETWORKS, value: {{ join "," . | quote }}}
{{- end }}
- {name: LIPSTAGE_WEBHOOK_ALLOW_HTTP, value: {{ .root.Values.webhooks.allowHttp | quote }}}
{{- end }}
{{- if ne $service.weights.source "none" }}
- {name: LIPSTAGE_{{ upper $service.engine }}_WEIGHTS, value: {{ eq $service.weights.source "s3" | ternary $service.weights.s3Url "/weights" | quote }}}
{{- end }}
{{- if eq $service.weights.source "s3" }}
- {name: LIPSTAGE_WEIGHTS_CACHE, value: /weights}
{{- end }}
{{- if gt (int $service.gpu.count) 0 }}
- {name: CUDA_CACHE_PATH, value: /scratch/home/cuda}
- {name: TRITON_CACHE_DIR, value: /scratch/home/triton}
- {name: TORCHINDUCTOR_CACHE_DIR, value: /scratch/home/torchinductor}
{{- end }}
{{- else -}}
[]
{{- end }}
{{- end -}}

{{/* Non-empty where the service keeps its pod's deletion cost: where pods are removed while others work. */}}
{{- define "lipstage.writesDeletionCost" -}}
{{- if and .root.Values.podDeletionCost.enabled .service.topics (gt (int .service.maxReplicas) 1) }}true{{ end -}}
{{- end -}}
